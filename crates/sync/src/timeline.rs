//! The newest part of a room's timeline.

use std::{collections::HashMap, sync::Arc};

use blaupause_data::{Data, DataError, Event, Part, Place, StreamPos};
use blaupause_graph::{EventNo, StateRoot};
use ruma::api::client::filter::RoomEventFilter;

use crate::filter;

/// Events of a timeline that are given when the client does not say (as Synapse).
pub(crate) const LIMIT_DEFAULT: u32 = 10;
/// Events of a timeline that are given at most.
const LIMIT_MAX: u32 = 100;
/// Entries that are looked at to find events that pass a filter.
const FILTERED_LOOK_MAX: u32 = 500;

/// What is wanted of one room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub room: Part,
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
    /// Oldest first.
    pub events: Vec<Arc<Event>>,
    /// Events lie between `since` and the first event given, here or at another server.
    pub limited: bool,
    /// No entry between the first event and the end is left out.
    pub is_whole: bool,
    /// Where `/messages` goes on backward.
    pub prev_batch: Option<Place>,
    /// The room's state when the client last looked; empty if it never did.
    pub state_since: StateRoot,
    /// Before each event given, by its number.
    starts: HashMap<EventNo, StateRoot>,
    /// After the last event (up to `until`).
    pub state_end: StateRoot,
    /// Each event found the room's state as its own parents had left it: no branches were merged,
    /// and the events say all that changed.
    pub is_linear: bool,
    /// The first event given, if it is state from another branch than what came before it here.
    pub aside: Option<EventNo>,
}

impl Timeline {
    /// The state before the first event given; where there is none, that at the end.
    pub(crate) fn state_start(&self) -> StateRoot {
        let first = self.events.first().and_then(|event| self.starts.get(&event.no));
        first.copied().unwrap_or(self.state_end)
    }
}

/// A timeline part. No round trip if it is short and new, usually two otherwise.
pub(crate) async fn load(
    data: &Data,
    wanted: Wanted,
    filter: &RoomEventFilter,
) -> Result<Timeline, DataError> {
    let look = if filter::is_open(filter) { wanted.limit } else { FILTERED_LOOK_MAX };
    let (since, until) = (wanted.since.map(Place::after), Place::after(wanted.until));
    // One more says whether there are more, and what the state was before the first.
    let stretch = data.stretch(wanted.room, since, until, look + 1).await?;
    let numbers: Vec<_> = stretch
        .entries
        .iter()
        .take(look as usize)
        .map(|(_, entry)| (wanted.room, entry.no))
        .collect();
    let events = data.events(&numbers).await?;
    let mut kept = Vec::new();
    let mut starts = HashMap::new();
    let mut first_place = None;
    let mut limited = false;
    let mut is_whole = true;
    let mut is_linear = true;
    let mut aside = None;
    for (index, (place, entry)) in stretch.entries.iter().enumerate() {
        if kept.len() == wanted.limit as usize || index == look as usize {
            limited = true;
            break;
        }
        first_place = Some(*place);
        let event = events.get(index).cloned().flatten();
        // The room's state after the entry before; what a gap did to it is told with the event
        // behind the gap.
        let older = stretch.entries.get(index + 1).map(|(_, it)| it);
        let before = older.map_or(stretch.state_since, |it| it.state);
        let before = if entry.gap { entry.state } else { before };
        is_linear &= event.as_ref().is_some_and(|event| {
            let stored = &event.stored;
            stored.state_after == entry.state && (entry.gap || stored.state_before == before)
        });
        match event {
            Some(event) if filter::event_passes(filter, &event) => {
                starts.insert(entry.no, before);
                let is_aside = event.state_key.is_some()
                    && older.is_some_and(|it| !event.stored.prev.contains(&it.no));
                aside = is_aside.then_some(event.no);
                kept.push(event);
            }
            _ => is_whole = false,
        }
        if entry.gap {
            limited = true;
            break;
        }
    }
    kept.reverse();
    Ok(Timeline {
        events: kept,
        limited,
        is_whole,
        // A client that wants no events still has to know where they are.
        prev_batch: first_place.or_else(|| limited.then_some(until)),
        state_since: stretch.state_since,
        starts,
        state_end: stretch.state_until,
        is_linear,
        aside,
    })
}
