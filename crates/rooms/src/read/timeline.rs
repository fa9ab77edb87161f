//! Parts of a room's timeline as a reader may see them.

use std::{ops::Bound, sync::Arc};

use blaupause_data::{
    Event, Order, Place, ReadSet,
    rows::{TimelineEntry, TimelineRow},
};
use blaupause_graph::StateRoot;
use ruma::api::{Direction, client::filter::RoomEventFilter};

use super::{
    RoomAccess,
    filter::{self, RelationFilter},
    visibility::Lens,
};
use crate::RoomsError;

/// Entries that one request looks at to find events that the reader may see and that pass the
/// filter. Beyond that the answer may be short, or empty, with a token to go on from.
pub(crate) const LOOK_MAX: usize = 1_000;
/// Entries that are looked at in one go if not every one of them will do.
const LOOK_STEP: usize = 100;

/// Where to look, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The gap to start from.
    pub from: Place,
    /// The gap not to go beyond.
    pub to: Option<Place>,
    pub dir: Direction,
    pub limit: usize,
    pub filter: &'a RoomEventFilter,
    pub relations: &'a RelationFilter,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the direction of the search.
    pub events: Vec<Arc<Event>>,
    /// The gap to go on from; `None` if nothing lies beyond.
    pub next: Option<Place>,
    /// What lies beyond `next` has to be asked for at other servers.
    pub is_elsewhere: bool,
}

/// Entries in one direction.
pub(crate) struct Entries {
    pub rows: Vec<(Place, TimelineEntry)>,
}

impl RoomAccess {
    /// The gap behind everything that the reader can see now.
    pub(crate) fn newest_gap(&self) -> Place {
        Place::after(self.rooms.data().position())
    }

    /// Entries from a gap on, within the reader's reach. One round trip.
    pub(crate) async fn entries(
        &self,
        from: Place,
        to: Option<Place>,
        dir: Direction,
        limit: usize,
    ) -> Result<Entries, RoomsError> {
        let mut want = ReadSet::new();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let last = self.last_place();
        let slot = match dir {
            Direction::Backward => {
                let lo = to.as_ref().map_or(Bound::Unbounded, Bound::Included);
                let hi = match &last {
                    Some(last) if *last < from => Bound::Included(last),
                    _ => Bound::Excluded(&from),
                };
                want.range::<TimelineRow>(self.part, lo, hi, Order::Backward, limit)
            }
            Direction::Forward => {
                let hi = match (&to, &last) {
                    (Some(to), Some(last)) if to > last => Bound::Included(last),
                    (Some(to), _) => Bound::Excluded(to),
                    (None, Some(last)) => Bound::Included(last),
                    (None, None) => Bound::Unbounded,
                };
                want.range::<TimelineRow>(
                    self.part,
                    Bound::Included(&from),
                    hi,
                    Order::Forward,
                    limit,
                )
            }
        };
        let page = want.run(self.rooms.data()).await?.many(slot)?;
        let rows = page.rows.into_iter().map(|(place, row)| (place, row.value)).collect();
        Ok(Entries { rows })
    }

    /// Events from a gap on that the reader may see and that pass the filter.
    pub(crate) async fn find(&self, search: Search<'_>) -> Result<Found, RoomsError> {
        let mut found = Found::default();
        if search.limit == 0 || !filter::room_passes(search.filter, &self.room) {
            return Ok(found);
        }
        let ignored = self.rooms.accounts().ignored_users(&self.reader.user).await?;
        let mut lens = self.empty_lens().await?;
        let mut from = search.from;
        let mut looked = 0;
        while looked < LOOK_MAX {
            let missing = search.limit - found.events.len();
            let usual = filter::is_open(search.filter) && search.relations.is_open() && looked == 0;
            let step = if usual { missing } else { missing.max(LOOK_STEP) };
            let step = step.min(LOOK_MAX - looked);
            // One more than is looked at: it says where to go on, if anywhere.
            let entries = self.entries(from, search.to, search.dir, step + 1).await?;
            let count = entries.rows.len().min(step);
            looked += count;
            let numbers: Vec<_> =
                entries.rows[..count].iter().map(|(_, entry)| (self.part, entry.no)).collect();
            let events = self.rooms.data().events(&numbers).await?;
            self.rooms.widen(&mut lens, events.iter().flatten()).await?;
            for (at, event) in events.into_iter().enumerate() {
                if let Some(event) = event
                    && lens.sees(&event)
                    && (event.state_key.is_some() || !ignored.contains(&event.sender))
                    && filter::event_passes(search.filter, &event)
                    && search.relations.passes(&event)
                {
                    found.events.push(event);
                }
                if search.dir == Direction::Backward && entries.rows[at].1.gap {
                    (found.next, found.is_elsewhere) = (Some(entries.rows[at].0), true);
                    return Ok(found);
                }
                if found.events.len() == search.limit {
                    found.next = gap_after(&entries, at, search.dir);
                    return Ok(found);
                }
            }
            let Some(last) = count.checked_sub(1) else { break };
            found.next = gap_after(&entries, last, search.dir);
            match found.next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// A lens of this reader that was made for no event yet.
    pub(crate) async fn empty_lens(&self) -> Result<Lens, RoomsError> {
        let until = self.joined_until();
        self.rooms.lens(&self.reader.user, self.part, until, std::iter::empty()).await
    }

    /// The room's state at a gap, as far as the reader may see it.
    pub(crate) async fn state_at(&self, gap: Place) -> Result<StateRoot, RoomsError> {
        if self.last_place().is_some_and(|last| last < gap) {
            return Ok(self.state());
        }
        let entries = self.entries(gap, None, Direction::Backward, 1).await?;
        Ok(entries.rows.first().map_or(StateRoot::EMPTY, |(_, entry)| entry.state))
    }

    /// The state with the creator alone: who asks for the members at the very beginning, as at the
    /// start of a timeline that shows the whole room, is told of them.
    pub(crate) async fn first_state(&self) -> Result<StateRoot, RoomsError> {
        let entries = self.entries(Place::START, None, Direction::Forward, 2).await?;
        Ok(entries.rows.last().map_or(StateRoot::EMPTY, |(_, entry)| entry.state))
    }
}

/// The gap behind entry number `at`, seen in the direction of the search; `None` if nothing lies
/// beyond.
fn gap_after(entries: &Entries, at: usize, dir: Direction) -> Option<Place> {
    let beyond = entries.rows.get(at + 1)?.0;
    match dir {
        Direction::Backward => Some(entries.rows[at].0),
        Direction::Forward => Some(beyond),
    }
}
