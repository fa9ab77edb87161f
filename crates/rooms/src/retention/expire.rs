//! Who removes what has had its time: a look at every room now and then, a page at a time.
//!
//! Nothing has to be remembered for it but how far a room is, and that only saves work: what was
//! removed is not found again.

use std::{ops::Bound, sync::Arc};

use blaupause_data::{
    Change, DIRECTORY, Event, Order, Part, Place, ReadSet,
    rows::{EventRow, TimelineRow},
};
use ruma::{OwnedRoomId, RoomId};

use super::{
    Retention,
    page::{Page, Plan, Walk},
};
use crate::{
    Rooms, RoomsError,
    append::Appending,
    load::pdu_of,
    rows::{ExpiredRow, RoomListRow},
};

/// Entries of a timeline that one batch looks at.
const PAGE_MAX: u32 = 100;
/// Rooms that are listed at once.
const ROOMS_MAX: u32 = 500;
/// Pages without anything to do behind the first message that has to wait. Clocks of senders
/// differ, and what is behind them may have had its time.
const AHEAD_MAX: usize = 10;

impl Rooms {
    /// Remove what has had its time until the server stops. Does nothing if messages are kept for
    /// ever.
    pub async fn run_retention(self) {
        let Some(retention) = self.settings().retention.clone() else { return };
        let stop = self.data().env().stop().clone();
        loop {
            if let Err(error) = Box::pin(self.expire()).await {
                tracing::warn!(%error, "messages whose time is over could not be removed");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(retention.pause) => {}
            }
        }
    }

    /// Remove what has had its time in all rooms. How many messages that were.
    ///
    /// # Errors
    /// The store cannot be read or written. What is not done is done the next time.
    pub async fn expire(&self) -> Result<usize, RoomsError> {
        let Some(retention) = &self.settings().retention else { return Ok(0) };
        let mut last: Option<OwnedRoomId> = None;
        let mut count = 0;
        loop {
            let mut want = ReadSet::new();
            let from = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let none = Bound::<&OwnedRoomId>::Unbounded;
            let rooms = want.range::<RoomListRow>(DIRECTORY, from, none, Order::Forward, ROOMS_MAX);
            let rooms = want.run(self.data()).await?.many(rooms)?;
            for (room, _) in &rooms.rows {
                if self.data().env().stop().is_cancelled() {
                    return Ok(count);
                }
                count += self.expire_in_quietly(retention, room).await?;
            }
            last = rooms.rows.into_iter().next_back().map(|(room, _)| room);
            if !rooms.more || last.is_none() {
                return Ok(count);
            }
        }
    }

    /// One room that cannot be read must not keep the others.
    async fn expire_in_quietly(
        &self,
        retention: &Retention,
        room: &RoomId,
    ) -> Result<usize, RoomsError> {
        match self.expire_in(retention, room).await {
            Err(RoomsError::Data(error)) => Err(error.into()),
            Err(RoomsError::RoomUnknown) => Ok(0),
            Err(error) => {
                tracing::warn!(%room, %error, "messages could not be removed from a room");
                Ok(0)
            }
            Ok(count) => Ok(count),
        }
    }

    async fn expire_in(&self, retention: &Retention, room: &RoomId) -> Result<usize, RoomsError> {
        let Some(lifetime) = self.lifetime_in(retention, room).await? else { return Ok(0) };
        let before_ms = self.data().env().now_millis().saturating_sub(lifetime);
        let part = self.data().parts().room(room);
        let known = self.data().get::<ExpiredRow>(part, &()).await?.map(|row| row.value);
        let mut known = known.unwrap_or(Place::START);
        let mut walk = Walk { before_ms, done: known, is_whole: true, state: None };
        let (mut from, mut idle, mut count) = (known, 0, 0);
        while idle <= AHEAD_MAX && !self.data().env().stop().is_cancelled() {
            let page = self.expiry_page(part, from, &mut walk).await?;
            let Some((last, ..)) = page.entries.last() else { break };
            from = *last;
            let plan = walk.plan(&page);
            if plan.is_empty() {
                idle += usize::from(plan.waits || !walk.is_whole);
            } else {
                idle = 0;
                let step = (known, walk.done);
                if !self.in_turn(|| Box::pin(self.carry_out(room, &plan, step))).await? {
                    // Older history came meanwhile: from the beginning, the next time.
                    return Ok(count);
                }
                known = walk.done;
                count += plan.take.len();
            }
            if !page.more {
                break;
            }
        }
        if known != walk.done {
            let (plan, step) = (Plan::default(), (known, walk.done));
            self.in_turn(|| Box::pin(self.carry_out(room, &plan, step))).await?;
        }
        Ok(count)
    }

    /// The next entries after a place. At the beginning of a walk also the state there.
    async fn expiry_page(
        &self,
        part: Part,
        after: Place,
        walk: &mut Walk,
    ) -> Result<Page, RoomsError> {
        let mut want = ReadSet::new();
        let (none, after) = (Bound::<&Place>::Unbounded, &after);
        let rows = Bound::Excluded(after);
        let rows = want.range::<TimelineRow>(part, rows, none, Order::Forward, PAGE_MAX);
        let before = Bound::Included(after);
        let before = want.range::<TimelineRow>(part, none, before, Order::Backward, 1);
        let got = want.run(self.data()).await?;
        let (rows, before) = (got.many(rows)?, got.many(before)?);
        if walk.state.is_none() {
            walk.state = before.rows.first().map(|(_, row)| row.value.state);
        }
        let numbers: Vec<_> = rows.rows.iter().map(|(_, row)| (part, row.value.no)).collect();
        let events = self.data().events(&numbers).await?;
        let entries = rows.rows.into_iter().zip(events);
        let entries = entries.map(|((place, row), event)| (place, row.value, event)).collect();
        Ok(Page { entries, more: rows.more })
    }

    /// Do what is planned, and note how far the room is (from, to). `false`: that has changed.
    async fn carry_out(
        &self,
        room: &RoomId,
        plan: &Plan,
        (known, done): (Place, Place),
    ) -> Result<bool, RoomsError> {
        let mut lane = self.lane(room).await?;
        let hot = lane.room()?;
        let (part, rules) = (hot.part, hot.rules.clone());
        let now = self.data().get::<ExpiredRow>(part, &()).await?.map(|row| row.value);
        if now.unwrap_or(Place::START) != known {
            return Ok(false);
        }
        let numbers: Vec<_> = plan.take.iter().map(|no| (part, *no)).collect();
        let events = self.data().events(&numbers).await?;
        let mut batch = Appending::new(self, hot);
        for event in events.into_iter().flatten() {
            if event.stored.redacted_by.is_some() {
                batch.expire_redacted(&event);
            } else {
                let pdu = pdu_of(&event, &rules)?;
                batch.take_content(&event, &pdu, event.no).await?;
            }
        }
        for place in &plan.remove {
            batch.write.del::<TimelineRow>(part, place);
        }
        if !plan.remove.is_empty() {
            batch.write.change(&Change::History { room: room.to_owned() });
        }
        if done != known {
            batch.write.put::<ExpiredRow>(part, &(), &done);
        }
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(true)
    }
}

impl Appending<'_> {
    /// An event without content is no longer shown.
    fn expire_redacted(&mut self, event: &Arc<Event>) {
        let mut stored = event.stored.clone();
        stored.place = event.place;
        stored.redacted_by = Some(event.no);
        self.write.put::<EventRow>(self.part(), &event.no, &stored);
        let room = self.head.room_id.clone();
        self.write.change(&Change::Redacted { room, no: event.no });
    }
}
