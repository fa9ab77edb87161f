//! The newest part of rooms' timelines, read for many rooms at once.

use std::{ops::Bound, sync::Arc};

use blaupause_data::{
    Answers, Data, DataError, Event, Many, One, Order, Place, ReadSet, StreamPos,
    rows::{HeadRow, RoomHead, TimelineEntry, TimelineRow},
};
use blaupause_graph::StateRoot;
use ruma::{OwnedRoomId, api::client::filter::RoomEventFilter};

use crate::filter;

/// Events of a timeline that are given when the client does not say (as Synapse).
pub(crate) const LIMIT_DEFAULT: u32 = 10;
/// Events of a timeline that are given at most.
const LIMIT_MAX: u32 = 100;
/// Entries that are looked at to find events that pass a filter.
const FILTERED_LOOK_MAX: u32 = 500;

/// What is wanted of one room.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub room: OwnedRoomId,
    /// Only what came after; `None` for the newest events whatever their age.
    pub since: Option<StreamPos>,
    pub until: StreamPos,
    pub limit: u32,
}

impl Wanted {
    /// A client's limit, within bounds.
    pub(crate) fn limit(asked: Option<u64>) -> u32 {
        let asked = asked.map_or(LIMIT_DEFAULT, |asked| u32::try_from(asked).unwrap_or(u32::MAX));
        asked.min(LIMIT_MAX)
    }
}

/// One room's timeline part.
#[derive(Debug)]
pub(crate) struct Timeline {
    pub head: Option<RoomHead>,
    /// Oldest first.
    pub events: Vec<Arc<Event>>,
    /// Events lie between `since` and the first event given.
    pub limited: bool,
    /// Where `/messages` goes on backward.
    pub prev_batch: Option<Place>,
    /// The room's state when the client last looked; empty if it never did.
    pub state_since: StateRoot,
    /// Before the first event given.
    pub state_start: StateRoot,
    /// After the last event (up to `until`).
    pub state_end: StateRoot,
}

struct Slots {
    entries: Many<TimelineRow>,
    before: Before,
    at_end: Many<TimelineRow>,
    head: One<HeadRow>,
}

/// The entry at or before `since`, if there is a `since`.
type Before = Option<Many<TimelineRow>>;

/// Timelines of many rooms, in the order asked. Two round trips at most.
pub(crate) async fn load(
    data: &Data,
    wanted: &[Wanted],
    filter: &RoomEventFilter,
) -> Result<Vec<Timeline>, DataError> {
    let mut want = ReadSet::new();
    let slots: Vec<_> = wanted.iter().map(|room| ask(&mut want, data, room, filter)).collect();
    let got = want.run(data).await?;
    let mut parts = Vec::with_capacity(wanted.len());
    let mut numbers = Vec::new();
    for (room, slots) in wanted.iter().zip(&slots) {
        let part = Part::from_answers(&got, slots)?;
        let id = data.parts().room(&room.room);
        numbers.extend(part.entries.iter().map(|(_, entry)| (id, entry.no)));
        parts.push(part);
    }
    let mut events = data.events(&numbers).await?.into_iter();
    Ok(wanted
        .iter()
        .zip(parts)
        .map(|(room, part)| {
            let events = events.by_ref().take(part.entries.len()).collect();
            part.into_timeline(room, events, filter)
        })
        .collect())
}

/// Entries that are looked at.
fn look(room: &Wanted, filter: &RoomEventFilter) -> u32 {
    if filter::is_open(filter) { room.limit } else { FILTERED_LOOK_MAX }
}

fn ask(want: &mut ReadSet, data: &Data, room: &Wanted, filter: &RoomEventFilter) -> Slots {
    let part = data.parts().room(&room.room);
    let end = Place::after(room.until);
    let look = look(room, filter);
    // One more says whether there are more, and what the state was before the first.
    let entries = match room.since {
        Some(since) => want.range::<TimelineRow>(
            part,
            Bound::Excluded(&Place::after(since)),
            Bound::Included(&end),
            Order::Backward,
            look + 1,
        ),
        None => want.range::<TimelineRow>(
            part,
            Bound::<&Place>::Unbounded,
            Bound::Included(&end),
            Order::Backward,
            look + 1,
        ),
    };
    let newest = |want: &mut ReadSet, upto: &Place| {
        let (order, limit) = (Order::Backward, 1);
        want.range::<TimelineRow>(
            part,
            Bound::<&Place>::Unbounded,
            Bound::Included(upto),
            order,
            limit,
        )
    };
    let before = room.since.map(|since| newest(want, &Place::after(since)));
    let at_end = newest(want, &end);
    let head = want.get::<HeadRow>(part, &());
    Slots { entries, before, at_end, head }
}

/// What the first round trip gave for one room.
struct Part {
    head: Option<RoomHead>,
    /// Newest first.
    entries: Vec<(Place, TimelineEntry)>,
    state_since: StateRoot,
    state_end: StateRoot,
}

impl Part {
    fn from_answers(got: &Answers, slots: &Slots) -> Result<Self, DataError> {
        let first_state = |rows: Many<TimelineRow>| -> Result<StateRoot, DataError> {
            Ok(got.many(rows)?.rows.first().map_or(StateRoot::EMPTY, |(_, entry)| entry.state))
        };
        let rows = got.many(slots.entries)?.rows;
        Ok(Self {
            head: got.one(slots.head)?.map(|row| row.value),
            entries: rows.into_iter().map(|(place, row)| (place, row.value)).collect(),
            state_since: slots.before.map_or(Ok(StateRoot::EMPTY), first_state)?,
            state_end: first_state(slots.at_end)?,
        })
    }

    fn into_timeline(
        self,
        room: &Wanted,
        events: Vec<Option<Arc<Event>>>,
        filter: &RoomEventFilter,
    ) -> Timeline {
        let mut kept = Vec::new();
        let mut state_start = self.state_since;
        let mut first_place = None;
        let mut limited = false;
        let look = look(room, filter);
        for (index, ((place, entry), event)) in self.entries.iter().zip(events).enumerate() {
            if kept.len() == room.limit as usize || index == look as usize {
                // The entry before the first one given: the state after it is where we start.
                limited = true;
                state_start = entry.state;
                break;
            }
            first_place = Some(*place);
            if let Some(event) = event
                && filter::event_passes(filter, &event)
            {
                kept.push(event);
            }
        }
        let never = room.since.is_none();
        if !limited && never {
            state_start = StateRoot::EMPTY;
        }
        kept.reverse();
        Timeline {
            head: self.head,
            events: kept,
            limited,
            prev_batch: first_place,
            state_since: self.state_since,
            state_start,
            state_end: self.state_end,
        }
    }
}
