//! `GET /timestamp_to_event`: the event of a moment, for another server.

use std::{ops::Bound, sync::Arc};

use blaupause_data::{Event, Order, ReadSet, rows::TimelineRow};
use ruma::api::Direction;

use super::ServerAccess;
use crate::RoomsError;

/// Events on either side of the place found that are compared: clocks of senders differ.
const NEAR_EVENTS_MAX: u32 = 50;

impl ServerAccess {
    /// The first event at or after (`Forward`), or the last at or before (`Backward`), a moment in
    /// milliseconds since the Unix epoch, by the senders' clocks.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if there is none.
    pub async fn event_at(&self, ts: u64, dir: Direction) -> Result<Arc<Event>, RoomsError> {
        let none = RoomsError::NotFound("event");
        let Some(gap) = self.rooms.gap_at(self.part, None, ts).await? else { return Err(none) };
        let (open, at) = (Bound::Unbounded::<&blaupause_data::Place>, Bound::Included(&gap));
        let mut want = ReadSet::new();
        let limit = NEAR_EVENTS_MAX;
        let before = Bound::Excluded(&gap);
        let back = want.range::<TimelineRow>(self.part, open, before, Order::Backward, limit);
        let forth = want.range::<TimelineRow>(self.part, at, open, Order::Forward, limit);
        let got = want.run(self.rooms.data()).await?;
        let mut numbers = Vec::new();
        for slot in [back, forth] {
            numbers.extend(got.many(slot)?.rows.into_iter().map(|(_, entry)| entry.no));
        }
        let events = self.events(&numbers).await?.into_iter();
        let found = match dir {
            Direction::Forward => events
                .filter(|event| event.origin_server_ts >= ts)
                .min_by_key(|event| (event.origin_server_ts, event.place)),
            Direction::Backward => events
                .filter(|event| event.origin_server_ts <= ts)
                .max_by_key(|event| (event.origin_server_ts, event.place)),
        };
        found.ok_or(none)
    }
}
