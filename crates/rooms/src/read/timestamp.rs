//! `GET /rooms/{roomId}/timestamp_to_event`: the event closest to a moment.

use std::{ops::Bound, sync::Arc};

use blaupause_data::{
    Event, Order, Part, Place, ReadSet, StreamPos,
    rows::{TimelineEntry, TimelineRow},
};
use ruma::api::{Direction, client::filter::RoomEventFilter};

use super::{RoomAccess, filter::RelationFilter, timeline::Search};
use crate::{Rooms, RoomsError};

/// Places that are probed in one round trip.
const PROBES: u64 = 16;
/// Round trips at most: with 16 probes each, enough for 2^32 positions.
const WAVES_MAX: usize = 8;
/// Events around the place found that are compared: clocks of senders differ.
const NEAR_EVENTS_MAX: usize = 50;

impl RoomAccess {
    /// The first event at or after (`Forward`), or the last at or before (`Backward`), a moment
    /// in milliseconds since the Unix epoch, by the senders' clocks. The timeline is in order of
    /// arrival: among events whose senders' clocks differ much the answer is close, not exact.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if there is none that the reader may see.
    pub async fn event_at(&self, ts: u64, dir: Direction) -> Result<Arc<Event>, RoomsError> {
        let none = RoomsError::NotFound("event");
        let Some(gap) = self.gap_at(ts).await? else { return Err(none) };
        let back = self.near(gap, Direction::Backward).await?;
        let forth = self.near(gap, Direction::Forward).await?;
        let all = back.into_iter().rev().chain(forth);
        let found = match dir {
            Direction::Forward => all
                .filter(|event| event.origin_server_ts >= ts)
                .min_by_key(|event| (event.origin_server_ts, event.place)),
            Direction::Backward => all
                .filter(|event| event.origin_server_ts <= ts)
                .max_by_key(|event| (event.origin_server_ts, event.place)),
        };
        found.ok_or(none)
    }

    async fn near(&self, from: Place, dir: Direction) -> Result<Vec<Arc<Event>>, RoomsError> {
        let filter = RoomEventFilter::default();
        let limit = NEAR_EVENTS_MAX;
        let (to, filter, relations) = (None, &filter, &RelationFilter::OPEN);
        Ok(self.find(Search { from, to, dir, limit, filter, relations }).await?.events)
    }

    async fn gap_at(&self, ts: u64) -> Result<Option<Place>, RoomsError> {
        let last = self.last_place().and_then(Place::position);
        self.rooms.gap_at(self.part, last, ts).await
    }
}

impl Rooms {
    /// A gap with (mostly) earlier events before it and (mostly) later ones behind it; `None` in a
    /// room without events. Nothing after `last` is looked at.
    pub(crate) async fn gap_at(
        &self,
        part: Part,
        last: Option<StreamPos>,
        ts: u64,
    ) -> Result<Option<Place>, RoomsError> {
        let first = self.data().list::<TimelineRow>(part, &(), 1).await?;
        let Some((first, _)) = first.rows.first() else { return Ok(None) };
        let mut lo = first.position().map_or(0, |pos| pos.0);
        let mut hi = last.unwrap_or_else(|| self.data().position()).0 + 1;
        // Events up to `lo` are earlier, those from `hi` on later.
        for _ in 0..WAVES_MAX {
            if hi - lo <= 1 {
                break;
            }
            let step = (hi - lo).div_ceil(PROBES).max(1);
            let probes: Vec<u64> =
                (1..PROBES).map(|n| lo + n * step).filter(|at| *at < hi).collect();
            for (at, event) in self.probe(part, &probes).await? {
                // The first event at or behind the probe; none: everything there is earlier.
                let later = event.is_none_or(|event| event.origin_server_ts >= ts);
                if later {
                    hi = at;
                    break;
                }
                lo = at;
            }
        }
        Ok(Some(Place::live(StreamPos(lo), 0)))
    }

    /// The first event at or behind each position. Two round trips.
    async fn probe(
        &self,
        part: Part,
        at: &[u64],
    ) -> Result<Vec<(u64, Option<Arc<Event>>)>, RoomsError> {
        let mut want = ReadSet::new();
        let slots: Vec<_> = at
            .iter()
            .map(|pos| {
                let place = Place::live(StreamPos(*pos), 0);
                want.range::<TimelineRow>(
                    part,
                    Bound::Included(&place),
                    Bound::<&Place>::Unbounded,
                    Order::Forward,
                    1,
                )
            })
            .collect();
        let got = want.run(self.data()).await?;
        let mut entries: Vec<Option<TimelineEntry>> = Vec::with_capacity(at.len());
        for slot in slots {
            entries.push(got.many(slot)?.rows.into_iter().next().map(|(_, row)| row.value));
        }
        let numbers: Vec<_> = entries.iter().flatten().map(|entry| (part, entry.no)).collect();
        let mut events = self.data().events(&numbers).await?.into_iter();
        let events = entries.iter().map(|entry| entry.as_ref().and_then(|_| events.next()?));
        Ok(at.iter().copied().zip(events).collect())
    }
}
