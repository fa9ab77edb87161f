//! Telling other servers what is not kept: who types, how far people have read, who is there.
//!
//! What changes is noted by callbacks of the feed and told by one task, at most once for however
//! many changes happened meanwhile. Nothing of it is stored: who is away does not miss it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use blaupause_data::{Change, Data, Order, Passing, ReadSet, StreamPos, rows::EventNoRow};
use blaupause_federation::{PassingEdu, PresencePush};
use parking_lot::Mutex;
use ruma::{
    EventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    presence::PresenceState,
};
use tokio::sync::Notify;

use crate::{ReceiptKind, Rooms, RoomsError, rows::ReceiptRow};

/// Changes of each kind that are noted; others are not told.
const NOTED_MAX: usize = 20_000;
/// Receipts of one person in one room.
const OWN_RECEIPTS_MAX: u32 = 2_000;
/// Others forget after a minute who types.
const TYPING_AGAIN_MS: u64 = 40_000;
/// Others forget after half an hour who is there.
const PRESENCE_AGAIN_MS: u64 = 25 * 60 * 1_000;
/// How often it is looked whether something has to be told again.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// What changed since it was last told.
#[derive(Debug, Default)]
struct Noted {
    typing: BTreeSet<OwnedRoomId>,
    /// And from which position on.
    receipts: BTreeMap<(OwnedRoomId, OwnedUserId), StreamPos>,
    presence: BTreeSet<OwnedUserId>,
}

impl Noted {
    fn receipt(&mut self, room: &OwnedRoomId, user: &OwnedUserId, pos: StreamPos) {
        if self.receipts.len() < NOTED_MAX {
            self.receipts.entry((room.clone(), user.clone())).or_insert(pos);
        }
    }

    fn passing(&mut self, data: &Data, passing: &Passing) -> bool {
        match passing {
            Passing::Typing { room } if self.typing.len() < NOTED_MAX => {
                self.typing.insert(room.clone())
            }
            Passing::Presence { user }
                if data.is_local(user) && self.presence.len() < NOTED_MAX =>
            {
                self.presence.insert(user.clone())
            }
            _ => false,
        }
    }
}

/// What was told, and when.
#[derive(Debug, Default)]
struct Told {
    typing: BTreeMap<OwnedRoomId, BTreeMap<OwnedUserId, u64>>,
    presence: BTreeMap<OwnedUserId, u64>,
}

impl Rooms {
    /// Tell other servers until this one stops.
    pub async fn run_teller(self) {
        if !self.federation().is_on() {
            return;
        }
        let (noted, news) = self.note_changes();
        let mut told = Told::default();
        let stop = self.data().env().stop().clone();
        loop {
            let idle = told.typing.is_empty() && told.presence.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                () = news.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY), if !idle => {}
            }
            let mut now = std::mem::take(&mut *noted.lock());
            told.note_old(&mut now, self.data().env().now_millis());
            if let Err(error) = self.tell_noted(now, &mut told).await {
                tracing::debug!(%error, "other servers were not told what happens in rooms");
            }
        }
    }

    fn note_changes(&self) -> (Arc<Mutex<Noted>>, Arc<Notify>) {
        let (noted, news) = (Arc::<Mutex<Noted>>::default(), Arc::<Notify>::default());
        let own = self.data().server_name().to_owned();
        let (in_log, wake) = (Arc::clone(&noted), Arc::clone(&news));
        self.data().feed().follow_visible(Box::new(move |pos, changes| {
            for change in changes.iter() {
                if let Change::Receipt { room, user } = change
                    && user.server_name() == own
                {
                    in_log.lock().receipt(room, user, pos);
                    wake.notify_one();
                }
            }
        }));
        let (passing, wake, data) = (Arc::clone(&noted), Arc::clone(&news), self.data().clone());
        let tells_presence = self.settings().presence_over_federation;
        self.data().feed().follow_passing(Box::new(move |passed| {
            if matches!(passed, Passing::Presence { .. }) && !tells_presence {
                return;
            }
            if passing.lock().passing(&data, passed) {
                wake.notify_one();
            }
        }));
        (noted, news)
    }

    async fn tell_noted(&self, noted: Noted, told: &mut Told) -> Result<(), RoomsError> {
        for room in &noted.typing {
            let servers = self.others_in(room).await?;
            if servers.is_empty() {
                told.typing.remove(room);
                continue;
            }
            let now_ms = self.data().env().now_millis();
            let typing = self.typing(room).into_iter().filter(|user| self.data().is_local(user));
            for edu in told.typing_now(room, &typing.collect(), now_ms) {
                self.federation().tell(&servers, &edu);
            }
        }
        for ((room, user), since) in &noted.receipts {
            let servers = self.others_in(room).await?;
            if !servers.is_empty() {
                for edu in self.receipts_to_tell(room, user, *since).await? {
                    self.federation().tell(&servers, &edu);
                }
            }
        }
        for user in &noted.presence {
            let servers: Vec<_> = self.data().servers_with(user).await?.into_iter().collect();
            let status = self.accounts().presence().get(user);
            if servers.is_empty() || status.state == PresenceState::Offline {
                told.presence.remove(user);
            } else {
                told.presence.insert(user.clone(), self.data().env().now_millis());
            }
            let ago = status.last_active_ago.unwrap_or_default().as_millis();
            let push = PresencePush {
                user: user.clone(),
                state: status.state,
                status_msg: status.status_msg,
                last_active_ago: u64::try_from(ago).unwrap_or(0),
                currently_active: status.currently_active,
            };
            self.federation().tell(&servers, &PassingEdu::Presence(push));
        }
        Ok(())
    }

    /// What another server handed over goes to the others in the room: that server does not know
    /// them yet (spec: "Joining Rooms"). Durable when this returns.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) async fn pass_on(
        &self,
        room: &RoomId,
        event: &EventId,
        origin: &ServerName,
    ) -> Result<(), RoomsError> {
        let mut servers = self.others_in(room).await?;
        servers.retain(|server| server != origin);
        if servers.is_empty() {
            return Ok(());
        }
        let parts = self.data().parts();
        let hash = parts.hash16(event.as_str());
        if let Some(no) = self.data().get::<EventNoRow>(parts.room(room), &hash).await? {
            self.federation().owe_event(room, no.value, &servers).await?;
        }
        Ok(())
    }

    async fn others_in(&self, room: &RoomId) -> Result<Vec<OwnedServerName>, RoomsError> {
        let mut servers = self.data().servers_in(room).await?;
        servers.retain(|server| server != self.data().server_name());
        Ok(servers)
    }

    /// Public receipts of a user that moved. One read.
    async fn receipts_to_tell(
        &self,
        room: &RoomId,
        user: &UserId,
        since: StreamPos,
    ) -> Result<Vec<PassingEdu>, RoomsError> {
        let parts = self.data().parts();
        let mut want = ReadSet::new();
        let own = want.prefix::<ReceiptRow>(
            parts.room(room),
            &parts.user(user),
            Order::Forward,
            OWN_RECEIPTS_MAX,
        );
        let rows = want.run(self.data()).await?.many(own)?.rows.into_iter().map(|(_, row)| row);
        let moved = rows.filter(|row| row.kind == ReceiptKind::Read && row.pos >= since);
        let as_edu = |receipt: crate::rows::Receipt| PassingEdu::Receipt {
            room: room.to_owned(),
            user: receipt.user_id,
            event: receipt.event_id,
            thread: receipt.thread,
            ts: receipt.ts,
        };
        Ok(moved.map(|row| as_edu(row.value)).collect())
    }
}

impl Told {
    /// What others forget soon is told again.
    fn note_old(&self, noted: &mut Noted, now_ms: u64) {
        for (room, users) in &self.typing {
            if users.values().any(|at| at + TYPING_AGAIN_MS <= now_ms) {
                noted.typing.insert(room.clone());
            }
        }
        let old = self.presence.iter().filter(|(_, at)| **at + PRESENCE_AGAIN_MS <= now_ms);
        noted.presence.extend(old.map(|(user, _)| user.clone()));
    }

    /// Who types in a room now; the difference to what was told.
    fn typing_now(
        &mut self,
        room: &OwnedRoomId,
        now: &BTreeSet<OwnedUserId>,
        now_ms: u64,
    ) -> Vec<PassingEdu> {
        let known = self.typing.entry(room.clone()).or_default();
        let edu = |user: &OwnedUserId, typing| PassingEdu::Typing {
            room: room.clone(),
            user: user.clone(),
            typing,
        };
        let stopped = known.keys().filter(|user| !now.contains(*user));
        let mut edus: Vec<_> = stopped.map(|user| edu(user, false)).collect();
        known.retain(|user, _| now.contains(user));
        for user in now {
            let is_told = known.get(user).is_some_and(|at| at + TYPING_AGAIN_MS > now_ms);
            if !is_told {
                edus.push(edu(user, true));
                known.insert(user.clone(), now_ms);
            }
        }
        if known.is_empty() {
            self.typing.remove(room);
        }
        edus
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id};

    use super::*;

    fn said(edus: &[PassingEdu]) -> Vec<(String, bool)> {
        let said = edus.iter().map(|edu| match edu {
            PassingEdu::Typing { user, typing, .. } => (user.to_string(), *typing),
            _ => panic!("not typing"),
        });
        said.collect()
    }

    #[test]
    fn others_hear_who_begins_and_who_stops_and_are_reminded() {
        let (mut told, room) = (Told::default(), owned_room_id!("!a:x"));
        let (a, b) = (owned_user_id!("@a:x"), owned_user_id!("@b:x"));
        let both = BTreeSet::from([a.clone(), b.clone()]);
        assert_eq!(told.typing_now(&room, &both, 0).len(), 2);
        assert_eq!(told.typing_now(&room, &both, 1_000), []);
        let only_b = BTreeSet::from([b.clone()]);
        assert_eq!(said(&told.typing_now(&room, &only_b, 2_000)), [(a.to_string(), false)]);
        let mut noted = Noted::default();
        told.note_old(&mut noted, TYPING_AGAIN_MS - 1);
        assert!(noted.typing.is_empty());
        told.note_old(&mut noted, TYPING_AGAIN_MS);
        assert!(noted.typing.contains(&room));
        assert_eq!(
            said(&told.typing_now(&room, &only_b, TYPING_AGAIN_MS)),
            [(b.to_string(), true)]
        );
        assert_eq!(
            said(&told.typing_now(&room, &BTreeSet::new(), 90_000)),
            [(b.to_string(), false)]
        );
        assert!(told.typing.is_empty());
    }
}
