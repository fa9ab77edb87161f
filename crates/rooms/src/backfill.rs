//! History that this server was not told of: from before it joined a room, and from while it was
//! away. Other servers are asked for it (server-server API, "Backfilling and retrieving missing
//! events").
//!
//! A gap stands in the timeline before an entry: the entry says so, and a row beside it names the
//! events that were not told. They come in from the newest to the oldest, each in a batch of its
//! own that moves the gap down by one, so that nothing is lost or told twice whenever it ends.

mod at_hand;
mod behind;
mod below;
mod close;
mod place;

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use blaupause_data::{
    Order, Place, ReadSet,
    rows::{GapRow, TimelineRow},
};
use blaupause_federation::CallLimits;
use blaupause_graph::{Pdu, order, rules_of};
use ruma::{
    OwnedEventId, OwnedServerName, RoomId, ServerName,
    api::federation::backfill::get_backfill::v1 as get_backfill,
    room_version_rules::RoomVersionRules,
};

use below::Lack;

use crate::{
    Rooms, RoomsError,
    append::Appending,
    remote_append::{Standing, Way},
};

/// Events that are asked for at once.
const EVENTS_MAX: u32 = 100;
/// Events of an answer that are looked at.
const ANSWER_EVENTS_MAX: usize = 200;
/// Rounds in which older gaps are filled before the one that somebody reads at.
const OLDER_ROUNDS_MAX: usize = 10;
/// Ends of the known graph that are named in one request.
const STARTS_MAX: usize = 20;
/// Servers that are asked, one after the other, and how long each may take.
const SERVERS_MAX: usize = 3;
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// Events of an answer whose parents it does not hold: the state before each has to be asked for.
const STATES_MAX: usize = 5;

/// A gap in a room's timeline.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    /// The place of the entry behind it.
    pub below: Place,
    /// Events directly before that entry.
    pub absent: Vec<OwnedEventId>,
}

impl Rooms {
    /// The newest gap whose entry stands at `from` or before it, and not before `to`.
    pub(crate) async fn newest_gap(
        &self,
        room: &RoomId,
        from: Place,
        to: Place,
    ) -> Result<Option<Gap>, RoomsError> {
        let part = self.data().parts().room(room);
        let mut want = ReadSet::new();
        let (lo, hi) = (Bound::Included(&to), Bound::Included(&from));
        let slot = want.range::<GapRow>(part, lo, hi, Order::Backward, 1);
        let rows = want.run(self.data()).await?.many(slot)?.rows.into_iter();
        Ok(rows.map(|(below, row)| Gap { below, absent: row.value }).next())
    }

    /// The oldest gap whose entry stands behind `after`.
    pub(crate) async fn oldest_gap(
        &self,
        room: &RoomId,
        after: Place,
    ) -> Result<Option<Gap>, RoomsError> {
        let part = self.data().parts().room(room);
        let mut want = ReadSet::new();
        let (lo, hi) = (Bound::Excluded(&after), Bound::Unbounded::<&Place>);
        let slot = want.range::<GapRow>(part, lo, hi, Order::Forward, 1);
        let rows = want.run(self.data()).await?.many(slot)?.rows.into_iter();
        Ok(rows.map(|(below, row)| Gap { below, absent: row.value }).next())
    }

    /// As [`Rooms::fill`]; gaps between events that lie before this one come first. What is missing
    /// in several belongs into the oldest of them: otherwise it would stand behind its answers.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn fill_in_order(&self, room: &RoomId, gap: &Gap) -> Result<bool, RoomsError> {
        let Some(first) = self.first_place(room).await? else { return Ok(false) };
        for _ in 0..OLDER_ROUNDS_MAX {
            match self.oldest_gap(room, first).await? {
                Some(older) if older.below < gap.below => {
                    if !self.fill(room, &older).await? {
                        break;
                    }
                }
                _ => break,
            }
        }
        self.fill(room, gap).await
    }

    /// The place of the first event here. Before it lies what was before we came.
    async fn first_place(&self, room: &RoomId) -> Result<Option<Place>, RoomsError> {
        let part = self.data().parts().room(room);
        let first = self.data().list::<TimelineRow>(part, &(), 1).await?;
        Ok(first.rows.into_iter().map(|(place, _)| place).next())
    }

    /// Ask other servers for what is missing in a gap. Whether anything was put into it, or it is
    /// closed.
    ///
    /// # Errors
    /// The store cannot be read or written. That nobody answers is no error.
    pub(crate) async fn fill(&self, room: &RoomId, gap: &Gap) -> Result<bool, RoomsError> {
        let Some(head) = self.head(room).await? else { return Ok(false) };
        let Some(rules) = rules_of(&head.value.version) else { return Ok(false) };
        if self.fill_from_here(room, &rules, gap).await? {
            return Ok(true);
        }
        for server in self.who_may_know(room).await? {
            let events = self.ask_for_history(&server, room, &rules, gap).await;
            if events.is_empty() {
                continue;
            }
            let known = Box::pin(self.judge_history(&server, room, &rules, events)).await?;
            if self.put_into_the_first(room, gap, &known).await? {
                return Ok(true);
            }
            if self.put_into(room, gap.below, &known, Lack::Waits).await? {
                return Ok(true);
            }
        }
        self.fill_in_any_case(room, &rules, gap).await
    }

    /// Nobody knows all that lies directly before the gap: what is known gets its place, and the
    /// rest, should it ever come, stands before it.
    async fn fill_in_any_case(
        &self,
        room: &RoomId,
        rules: &RoomVersionRules,
        gap: &Gap,
    ) -> Result<bool, RoomsError> {
        let here = self.history_at_hand(room, rules, gap).await?;
        self.put_into(room, gap.below, &here, Lack::Passed).await
    }

    /// As [`Rooms::fill`] where nobody reads. Other servers are not asked before the members of the
    /// room are known: whoever knows them judges better what others tell of the past.
    pub(crate) async fn fill_unasked(&self, room: &RoomId, gap: &Gap) -> Result<bool, RoomsError> {
        if !self.is_partial(room).await? {
            return self.fill(room, gap).await;
        }
        let Some(head) = self.head(room).await? else { return Ok(false) };
        let Some(rules) = rules_of(&head.value.version) else { return Ok(false) };
        Ok(self.fill_from_here(room, &rules, gap).await?
            || self.fill_in_any_case(room, &rules, gap).await?)
    }

    /// As [`Rooms::fill`], without asking anybody.
    async fn fill_from_here(
        &self,
        room: &RoomId,
        rules: &RoomVersionRules,
        gap: &Gap,
    ) -> Result<bool, RoomsError> {
        if self.in_turn(|| Box::pin(self.put_nothing(room, gap.below))).await? {
            return Ok(true);
        }
        let here = self.history_at_hand(room, rules, gap).await?;
        if self.put_into_the_first(room, gap, &here).await? {
            return Ok(true);
        }
        self.put_into(room, gap.below, &here, Lack::Waits).await
    }

    /// Other servers in the room.
    pub(crate) async fn who_may_know(
        &self,
        room: &RoomId,
    ) -> Result<Vec<OwnedServerName>, RoomsError> {
        let mut servers = self.data().servers_in(room).await?;
        let own = self.data().server_name();
        servers.retain(|server| server != own && self.federation().permits(server).is_ok());
        // The server that made the room has all of it.
        servers.sort_by_key(|server| room.server_name() != Some(server));
        servers.truncate(SERVERS_MAX);
        Ok(servers)
    }

    async fn ask_for_history(
        &self,
        server: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        gap: &Gap,
    ) -> Vec<Pdu> {
        let starts = gap.absent.iter().take(STARTS_MAX).cloned().collect();
        let request = get_backfill::Request::new(room.to_owned(), starts, EVENTS_MAX.into());
        let limits = CallLimits::default().within(ANSWER_TIME);
        match self.federation().call_within(server, request, limits).await {
            Ok(answer) => {
                let raw = answer.pdus.into_iter().take(ANSWER_EVENTS_MAX).collect();
                let events = self.check_events(room, raw, rules).await.good;
                before(gap, events)
            }
            Err(error) => {
                tracing::debug!(%server, %room, %error, "history cannot be had");
                Vec::new()
            }
        }
    }

    /// Store events of the past with the state at each, oldest first. Those that were judged, in
    /// the same order.
    async fn judge_history(
        &self,
        server: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        events: Vec<Pdu>,
    ) -> Result<Vec<Pdu>, RoomsError> {
        let mut judged = Vec::new();
        let mut states = 0;
        for event in events {
            let mut standing = self.take_past(room, &event).await?;
            if let Standing::Missing(missing) = &standing {
                if !missing.auth.is_empty() {
                    self.gather_auth_events(server, room, rules, &event).await?;
                }
                if !missing.prev.is_empty() {
                    if states == STATES_MAX {
                        continue;
                    }
                    states += 1;
                    self.fill_gap(server, room, rules, event.event_id()).await?;
                }
                standing = self.take_past(room, &event).await?;
            }
            match standing {
                Standing::Aside | Standing::Known => judged.push(event),
                other => {
                    tracing::debug!(event = %event.event_id(), standing = ?other, "not history");
                }
            }
        }
        Ok(judged)
    }

    /// Judge an event by the state after its parents, and store it without a place.
    pub(crate) async fn take_past(&self, room: &RoomId, pdu: &Pdu) -> Result<Standing, RoomsError> {
        let before = {
            let mut lane = self.lane(room).await?;
            let mut batch = Appending::new(self, lane.room()?);
            let kin = batch.kin_of(pdu).await?;
            if kin.has_standing() {
                return Ok(Standing::Known);
            }
            if let Some(missing) = kin.missing(Way::Live) {
                return Ok(Standing::Missing(missing));
            }
            let states: Vec<_> = kin.parents.iter().map(|parent| parent.state).collect();
            match Box::pin(batch.merged(&states)).await {
                Ok(before) if batch.write.is_empty() => before,
                // A merged state is new: its pages have to be there before the event names them.
                Ok(before) => {
                    let write = batch.finish();
                    lane.commit(self.data(), write).await?;
                    before
                }
                Err(error) => {
                    drop(batch);
                    lane.release().forget();
                    return Err(error);
                }
            }
        };
        self.take_event(room, pdu, Way::Aside(before), None).await
    }
}

/// Those of the events that lead up to the gap, oldest first.
fn before(gap: &Gap, events: Vec<Pdu>) -> Vec<Pdu> {
    let mut events: BTreeMap<OwnedEventId, Pdu> =
        events.into_iter().map(|event| (event.event_id().to_owned(), event)).collect();
    let mut open = gap.absent.clone();
    let mut found = Vec::new();
    while let Some(id) = open.pop() {
        if let Some(event) = events.remove(&id) {
            open.extend(event.prev_events().iter().cloned());
            found.push(event);
        }
    }
    order::topological(&found)
}
