//! Judged events of the past get their places.

use std::collections::BTreeSet;

use blaupause_data::{
    Change, Place, ReadSet,
    rows::{GapRow, StoredEvent, TimelineEntry, TimelineRow},
};
use blaupause_graph::Pdu;
use ruma::{OwnedEventId, RoomId};

use crate::{Rooms, RoomsError, append::Appending, remote_append::has_standing, rows::ExpiredRow};

/// What happens where not all that lies directly before a gap is known: who was placed first would
/// stand behind what comes later, even if it answers that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing is placed before all of it is known.
    Waits,
    Passed,
}

/// How the placing of one event ended.
enum Put {
    /// It stands now where the gap was, and the gap is before it, or closed.
    There(Place),
    /// It has a place already, or is never shown, or does not lie at the gap.
    Passed,
    /// There is no gap any more.
    Closed,
}

impl Rooms {
    /// Put events into the gap before an entry, the newest first. `events` stand oldest first.
    /// Whether anything changed.
    pub(super) async fn put_into(
        &self,
        room: &RoomId,
        mut below: Place,
        events: &[Pdu],
        lack: Lack,
    ) -> Result<bool, RoomsError> {
        let mut is_progress = false;
        for event in events.iter().rev() {
            match self.in_turn(|| Box::pin(self.put_one(room, below, event, lack))).await? {
                Put::There(place) => {
                    below = place;
                    is_progress = true;
                }
                Put::Passed => {}
                Put::Closed => return Ok(true),
            }
        }
        Ok(is_progress)
    }

    /// Close the gap before an entry if nothing belongs into it any more: two events that follow
    /// the same untold one have a gap each, and what fills the one leaves nothing for the other.
    /// Whether the gap is closed.
    pub(super) async fn put_nothing(
        &self,
        room: &RoomId,
        below: Place,
    ) -> Result<bool, RoomsError> {
        let mut lane = self.lane(room).await?;
        let part = lane.room()?.part;
        let mut want = ReadSet::new();
        let gap = want.get::<GapRow>(part, &below);
        let entry = want.get::<TimelineRow>(part, &below);
        let got = want.run(self.data()).await?;
        let (Some(gap), Some(entry)) = (got.one(gap)?, got.one(entry)?) else {
            return Ok(true);
        };
        let mut batch = Appending::new(self, lane.room()?);
        if !batch.without_place(&gap.value).await?.is_empty() {
            return Ok(false);
        }
        batch.write.put::<TimelineRow>(part, &below, &TimelineEntry { gap: false, ..entry.value });
        batch.write.del::<GapRow>(part, &below);
        batch.write.change(&Change::History { room: room.to_owned() });
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(true)
    }

    async fn put_one(
        &self,
        room: &RoomId,
        below: Place,
        pdu: &Pdu,
        lack: Lack,
    ) -> Result<Put, RoomsError> {
        let mut lane = self.lane(room).await?;
        let part = lane.room()?.part;
        let mut want = ReadSet::new();
        let gap = want.get::<GapRow>(part, &below);
        let entry = want.get::<TimelineRow>(part, &below);
        let got = want.run(self.data()).await?;
        // Somebody else may have been faster.
        let (Some(gap), Some(entry)) = (got.one(gap)?, got.one(entry)?) else {
            return Ok(Put::Closed);
        };
        let mut batch = Appending::new(self, lane.room()?);
        let kin = batch.kin_of(pdu).await?;
        let mut absent: BTreeSet<OwnedEventId> = gap.value.into_iter().collect();
        let (Some((no, stored)), true) = (kin.known.clone(), absent.remove(pdu.event_id())) else {
            return Ok(Put::Passed);
        };
        if is_done(&stored) || lack == Lack::Waits && !batch.are_judged(&absent).await? {
            return Ok(Put::Passed);
        }
        absent.extend(batch.without_place(pdu.prev_events()).await?);
        let place = self.place_below(part, below).await?;
        tracing::debug!(event = %pdu.event_id(), ?place, ?below, "history gets its place");
        match place {
            Some(place) => {
                let mut stored = StoredEvent { place: Some(place), ..stored };
                batch.come_late(pdu, no, &mut stored, &kin).await?;
                batch.write_standing(no, &stored, &kin);
                batch.point_at_target(pdu, no, place, &kin).await?;
                let gap = !absent.is_empty();
                let older = TimelineEntry { no, state: stored.state_after, gap };
                batch.write.put::<TimelineRow>(part, &place, &older);
                if gap {
                    let absent = absent.into_iter().collect();
                    batch.write.put::<GapRow>(part, &place, &absent);
                }
            }
            None => tracing::warn!(%room, "a gap is too large: what is left of it is not shown"),
        }
        batch.write.put::<TimelineRow>(part, &below, &TimelineEntry { gap: false, ..entry.value });
        batch.write.del::<GapRow>(part, &below);
        // What comes now may be older than messages are kept.
        batch.write.del::<ExpiredRow>(part, &());
        batch.write.change(&Change::History { room: room.to_owned() });
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(place.map_or(Put::Closed, Put::There))
    }
}

impl Appending<'_> {
    /// Those of the events that have no place in the timeline and may get one. Behind those that
    /// are never shown: of what they follow.
    pub(crate) async fn without_place(
        &self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<OwnedEventId>, RoomsError> {
        let mut open = ids.to_vec();
        let (mut seen, mut absent) = (BTreeSet::new(), Vec::new());
        for _ in 0..HIDDEN_STEPS_MAX {
            open.retain(|id| seen.insert(id.clone()));
            if open.is_empty() {
                break;
            }
            let numbers = self.numbers_by_id(&open).await?;
            let numbers: Vec<_> = numbers.iter().map(|(_, no)| *no).collect();
            let stored = self.stored(&numbers).await?.into_iter();
            let done: Vec<_> = stored.map(|(_, stored)| stored).filter(is_done).collect();
            let is_done = |id: &OwnedEventId| done.iter().any(|stored| stored.event_id == *id);
            absent.extend(open.iter().filter(|id| !is_done(id)).cloned());
            open = Vec::new();
            for hidden in done.into_iter().filter(|stored| stored.place.is_none()) {
                let pdu = Pdu::from_stored(hidden.pdu, hidden.event_id, &self.hot.rules)?;
                open.extend(pdu.prev_events().iter().cloned());
            }
        }
        Ok(absent)
    }
}

impl Appending<'_> {
    /// Whether all of the events are stored and were judged where they stand.
    async fn are_judged(&self, ids: &BTreeSet<OwnedEventId>) -> Result<bool, RoomsError> {
        let ids: Vec<_> = ids.iter().cloned().collect();
        let numbers = self.numbers_by_id(&ids).await?;
        let numbers: Vec<_> = numbers.iter().map(|(_, no)| *no).collect();
        let stored = self.stored(&numbers).await?;
        let judged = stored.iter().filter(|(_, stored)| has_standing(stored)).count();
        Ok(judged == ids.len())
    }
}

/// Generations of events that are never shown behind which one is looked for that may be.
const HIDDEN_STEPS_MAX: usize = 20;

/// Whether it is settled where an event is shown, or that it is not.
pub(super) fn is_done(stored: &StoredEvent) -> bool {
    stored.place.is_some() || stored.rejected || stored.soft_failed
}
