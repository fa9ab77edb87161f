//! One room's inbox.

use std::{collections::HashMap, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Write};
use blaupause_graph::{Pdu, order};
use ruma::{OwnedEventId, OwnedServerName, RoomId, room_version_rules::RoomVersionRules};
use serde_json::value::RawValue;

use super::ends::Parked;
use crate::{
    Rooms, RoomsError,
    gather::Gathered,
    remote_append::{InboxKey, Standing, Way},
    rows::{InboxRoomRow, InboxRow, Waiting},
};

/// Events of one room that are looked at together.
const STEP_EVENTS: u32 = 200;
/// How often events are tried that lack something: other servers are asked each time. After that
/// they are given up; the next event that names them brings them again.
const TRIES_MAX: u32 = 4;
/// Pause before the next try, in milliseconds; longer each time.
const PAUSE_MS: u64 = 2_000;

/// What a look at the inbox came to.
enum Look {
    Empty,
    /// Something was done.
    Progress,
    /// All of these lack something.
    Stuck(Vec<InboxKey>),
    /// There is nothing but what is parked.
    Parked,
}

/// What became of the first events that wait.
struct Judged {
    /// So many have found their place.
    placed: usize,
    /// The one after them lacks something, and has to wait.
    waits: bool,
}

/// An event and where it waits.
struct Turn {
    key: InboxKey,
    origin: OwnedServerName,
    pdu: Pdu,
}

impl Rooms {
    /// Judge what waits in a room until nothing is left, or the server stops.
    pub(super) async fn empty_inbox(&self, room: &RoomId) {
        let stop = self.data().env().stop().clone();
        let news = self.inbox().news(room);
        let (mut tries, mut parked) = (0, Parked::default());
        loop {
            let seen = self.inbox().seen(room);
            let look = tokio::select! {
                () = stop.cancelled() => return,
                look = Box::pin(self.look_into_inbox(room, &parked)) => look,
            };
            let pause = match look {
                Ok(Look::Progress) => {
                    tries = 0;
                    continue;
                }
                Ok(Look::Parked) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = parked.time_is_up() => tries = TRIES_MAX - 1,
                        () = news.notified() => parked.try_soon(),
                    }
                    continue;
                }
                Ok(Look::Empty) => match self.leave_inbox(room, seen).await {
                    Ok(true) => {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = Box::pin(self.close_gaps_quietly(room)) => {}
                        }
                        return;
                    }
                    Ok(false) => continue,
                    Err(error) => Err(error.into()),
                },
                Ok(Look::Stuck(keys)) => Ok(keys),
                Err(error) => Err(error),
            };
            tries += 1;
            match pause {
                Ok(keys) if tries >= TRIES_MAX => {
                    match self.give_up_most(room, &keys, parked.space()).await {
                        Ok(kept) => {
                            tries = 0;
                            parked.park(kept);
                            continue;
                        }
                        Err(error) => {
                            tracing::warn!(%room, %error, "events cannot be given up now");
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%room, %error, "events of other servers cannot be judged now");
                    if tries >= TRIES_MAX {
                        self.inbox().pause(room);
                        return;
                    }
                }
            }
            let pause = Duration::from_millis(PAUSE_MS * u64::from(tries));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The room has nothing to do; `false` if something came meanwhile.
    async fn leave_inbox(&self, room: &RoomId, seen: u64) -> Result<bool, DataError> {
        let mut write = Write::new(self.data().parts().room(room));
        write.del::<InboxRoomRow>(DIRECTORY, &room.to_owned());
        match self.inbox().finish(room, seen, || self.data().submit(write)) {
            Some(durable) => durable.await.map(|_| true).map_err(DataError::from),
            None => Ok(false),
        }
    }

    pub(super) async fn give_up(&self, room: &RoomId, keys: &[InboxKey]) -> Result<(), DataError> {
        self.forget_inbox(room, keys).await?;
        self.inbox().done(room, keys.len());
        Ok(())
    }

    async fn look_into_inbox(&self, room: &RoomId, parked: &Parked) -> Result<Look, RoomsError> {
        let part = self.data().parts().room(room);
        let rows = self.data().list::<InboxRow>(part, &(), STEP_EVENTS).await?.rows;
        if rows.is_empty() {
            return Ok(Look::Empty);
        }
        let rows = rows.into_iter().filter(|(key, _)| !parked.has(key));
        let rows: Vec<_> = rows.map(|(key, row)| (key, row.value)).collect();
        if rows.is_empty() {
            return Ok(Look::Parked);
        }
        let own = self.data().server_name().to_owned();
        let rules = match self.lane(room).await {
            Ok(mut lane) => Some(lane.room()?.rules.clone()),
            Err(RoomsError::RoomUnknown) => None,
            Err(error) => return Err(error),
        };
        // Who was the last of this server to leave must not be brought back by what comes after.
        let is_ours = self.data().servers_in(room).await?.contains(&own);
        let Some(rules) = rules.filter(|_| is_ours) else {
            let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
            self.give_up(room, &keys).await?;
            return Ok(Look::Progress);
        };
        self.judge_waiting(room, &rules, rows).await
    }

    async fn judge_waiting(
        &self,
        room: &RoomId,
        rules: &RoomVersionRules,
        rows: Vec<(InboxKey, Waiting)>,
    ) -> Result<Look, RoomsError> {
        let (turns, mut wait, nothing) = self.turns(room, rules, rows).await;
        self.give_up(room, &nothing).await?;
        let mut is_progress = !nothing.is_empty();
        let mut left = &turns[..];
        while let Some(first) = left.first() {
            match self.judge_next(room, rules, left).await {
                Ok(Judged { placed, waits }) => {
                    is_progress |= placed > 0;
                    self.inbox().done(room, placed);
                    left = &left[placed..];
                    if waits {
                        wait.extend(left.first().map(|turn| turn.key));
                        left = left.get(1..).unwrap_or_default();
                    }
                }
                // One event that cannot be judged must not stop the others.
                Err(RoomsError::Refused(error)) => {
                    tracing::warn!(event = %first.pdu.event_id(), %error, "an event is given up");
                    self.give_up(room, &[first.key]).await?;
                    is_progress = true;
                    left = &left[1..];
                }
                Err(error) => return Err(error),
            }
        }
        if is_progress && wait.is_empty() { Ok(Look::Progress) } else { Ok(Look::Stuck(wait)) }
    }

    /// Events in the order in which they are to be judged; those that have to wait for keys; those
    /// that are nothing.
    async fn turns(
        &self,
        room: &RoomId,
        rules: &RoomVersionRules,
        rows: Vec<(InboxKey, Waiting)>,
    ) -> (Vec<Turn>, Vec<InboxKey>, Vec<InboxKey>) {
        let mut origins: HashMap<OwnedEventId, (InboxKey, OwnedServerName)> = HashMap::new();
        let (mut raw, mut wait, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
        for (key, waiting) in rows {
            let event = RawValue::from_string(waiting.pdu).ok();
            let id = event.as_ref().and_then(|event| {
                let event = blaupause_graph::Unverified::parse(event, rules).ok()?;
                Some(event.event_id().to_owned())
            });
            match (event, id) {
                (Some(event), Some(id)) if !origins.contains_key(&id) => {
                    origins.insert(id, (key, waiting.origin));
                    raw.push(event);
                }
                // The id does not cover the signatures: a copy may be good where this one is not.
                // It is looked at when this one is done.
                (Some(_), Some(_)) => {}
                _ => nothing.push(key),
            }
        }
        let checked = self.check_events(room, raw, rules).await;
        let sorted = order::topological(&checked.good);
        let turns = sorted.into_iter().filter_map(|pdu| {
            let (key, origin) = origins.remove(pdu.event_id())?;
            Some(Turn { key, origin, pdu })
        });
        let turns = turns.collect();
        for (id, (key, _)) in origins {
            if checked.keyless.contains_key(&id) { wait.push(key) } else { nothing.push(key) }
        }
        (turns, wait, nothing)
    }

    /// Whether an event is one that came with a told state, from before anything that is here, and
    /// nobody tells where it stood: it stays what it is. As news it would be a tip, and the room's
    /// state merged with its beginnings.
    async fn is_told_past(&self, room: &RoomId, pdu: &Pdu) -> Result<bool, RoomsError> {
        let part = self.data().parts().room(room);
        let is_known = self.event_no(part, &pdu.event_id().to_owned()).await?.is_some();
        if !is_known || pdu.depth() >= self.depth_of_gaps(room).await? {
            return Ok(false);
        }
        let standing = self.take_past(room, pdu).await?;
        Ok(matches!(standing, Standing::Aside | Standing::Known))
    }

    /// Judge the first events that wait, as many as go into one batch.
    async fn judge_next(
        &self,
        room: &RoomId,
        rules: &RoomVersionRules,
        turns: &[Turn],
    ) -> Result<Judged, RoomsError> {
        let old = self.depth_of_gaps(room).await?;
        let turns = match turns.iter().position(|turn| turn.pdu.depth() < old) {
            None => turns,
            Some(0) => {
                Box::pin(self.look_behind(room, &turns[0].pdu)).await?;
                if self.is_told_past(room, &turns[0].pdu).await? {
                    self.forget_inbox(room, &[turns[0].key]).await?;
                    return Ok(Judged { placed: 1, waits: false });
                }
                &turns[..1]
            }
            Some(news) => &turns[..news],
        };
        let events: Vec<_> = turns.iter().map(|turn| (turn.key, &turn.pdu)).collect();
        let standings = self.take_events(room, &events).await?;
        let is_missing = |standing: &&Standing| matches!(standing, Standing::Missing(_));
        let placed = standings.len() - standings.iter().filter(is_missing).count();
        let (Some(Standing::Missing(missing)), Some(turn)) = (standings.last(), turns.get(placed))
        else {
            return Ok(Judged { placed, waits: false });
        };
        if placed > 0 {
            // It comes first the next time: should it be refused then, those before it are not.
            return Ok(Judged { placed, waits: false });
        }
        let Turn { key, origin, pdu } = turn;
        match Box::pin(self.gather(origin, room, rules, pdu, missing)).await? {
            Gathered::All => {}
            Gathered::Later => return Ok(Judged { placed: 0, waits: true }),
            Gathered::Never => {
                tracing::info!(%room, event = %pdu.event_id(), "an event is given up: what it names cannot be had");
                self.forget_inbox(room, &[*key]).await?;
                return Ok(Judged { placed: 1, waits: false });
            }
        }
        if self.is_told_past(room, pdu).await? {
            self.forget_inbox(room, &[*key]).await?;
            return Ok(Judged { placed: 1, waits: false });
        }
        let standing = self.take_event(room, pdu, Way::Live, Some(*key)).await?;
        let waits = matches!(standing, Standing::Missing(_));
        Ok(Judged { placed: usize::from(!waits), waits })
    }
}
