//! A walk along a timeline, oldest first: what of it has had its time.

use std::sync::Arc;

use blaupause_data::{Event, Place, rows::TimelineEntry};
use blaupause_graph::{EventNo, StateRoot};

/// Entries of a timeline that follow each other.
pub(super) struct Page {
    pub entries: Vec<(Place, TimelineEntry, Option<Arc<Event>>)>,
    /// There are later ones.
    pub more: bool,
}

/// What is to be done with a page.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Messages that lose their content.
    pub take: Vec<EventNo>,
    /// Entries that leave the timeline.
    pub remove: Vec<Place>,
    /// Something in it has to wait for its time.
    pub waits: bool,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.take.is_empty() && self.remove.is_empty()
    }
}

/// Where a walk is.
pub(super) struct Walk {
    /// Messages that are older have had their time (milliseconds since the Unix epoch).
    pub before_ms: u64,
    /// Up to here nothing has to be looked at ever again.
    pub done: Place,
    /// Nothing was left behind so far.
    pub is_whole: bool,
    /// The room's state after the last entry that stays.
    pub state: Option<StateRoot>,
}

impl Walk {
    /// What to do with the next page.
    pub fn plan(&mut self, page: &Page) -> Plan {
        let mut plan = Plan::default();
        let count = page.entries.len();
        for (at, (place, entry, event)) in page.entries.iter().enumerate() {
            let message = event.as_ref().filter(|event| event.state_key.is_none());
            let due = message.filter(|event| event.origin_server_ts < self.before_ms);
            if let Some(event) = due {
                if !event.is_expired() {
                    plan.take.push(event.no);
                }
                // What hangs on an entry: a gap before it, a state that begins with it (branches
                // of the room met there), the end of the timeline.
                let is_last = !page.more && at + 1 == count;
                if !is_last && !entry.gap && self.state == Some(entry.state) {
                    plan.remove.push(*place);
                } else {
                    self.is_whole &= !is_last;
                }
            } else if message.is_some() {
                plan.waits = true;
                self.is_whole = false;
            }
            self.state = Some(entry.state);
            if self.is_whole {
                self.done = *place;
            }
        }
        plan
    }
}
