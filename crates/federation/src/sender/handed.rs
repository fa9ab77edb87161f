//! Events that a server of the room was handed in a request of its own (`send_join`): it tells the
//! others in the room (server-server API, "Joining Rooms"), so nobody is sent them again.

use std::collections::VecDeque;

use parking_lot::Mutex;
use ruma::{EventId, OwnedEventId};

use crate::Federation;

/// Events that are remembered. The log is followed at once, so that few are between.
const HANDED_MAX: usize = 1_000;

/// In memory: after a restart an event may be sent once more, which does no harm.
#[derive(Default)]
pub(super) struct Handed(Mutex<VecDeque<OwnedEventId>>);

impl Handed {
    fn note(&self, event: &EventId) {
        let mut handed = self.0.lock();
        if handed.len() >= HANDED_MAX {
            handed.pop_front();
        }
        handed.push_back(event.to_owned());
    }

    pub(super) fn knows(&self, event: &EventId) -> bool {
        self.0.lock().iter().any(|id| id == event)
    }
}

impl Federation {
    /// A server of the room took an event of ours that has no place here yet. To be said before it
    /// gets one.
    pub fn handed_over(&self, event: &EventId) {
        self.sender().handed.note(event);
    }
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    #[test]
    fn of_what_was_handed_over_the_newest_is_remembered() {
        let handed = Handed::default();
        handed.note(event_id!("$first"));
        assert!(handed.knows(event_id!("$first")));
        assert!(!handed.knows(event_id!("$other")));
        (0..HANDED_MAX).for_each(|_| handed.note(event_id!("$other")));
        assert!(!handed.knows(event_id!("$first")));
    }
}
