//! Events that a server has because it was handed them in a request of its own (`send_join`): it is
//! not sent them again.

use std::collections::VecDeque;

use parking_lot::Mutex;
use ruma::{EventId, OwnedEventId, OwnedServerName, ServerName};

use crate::Federation;

/// Events that are remembered. The log is followed at once, so that few are between.
const HANDED_MAX: usize = 1_000;

/// In memory: after a restart an event may be sent once more, which does no harm.
#[derive(Default)]
pub(super) struct Handed(Mutex<VecDeque<(OwnedEventId, OwnedServerName)>>);

impl Handed {
    fn note(&self, event: &EventId, to: &ServerName) {
        let mut handed = self.0.lock();
        if handed.len() >= HANDED_MAX {
            handed.pop_front();
        }
        handed.push_back((event.to_owned(), to.to_owned()));
    }

    pub(super) fn knows(&self, event: &EventId, server: &ServerName) -> bool {
        self.0.lock().iter().any(|(id, to)| id == event && to == server)
    }
}

impl Federation {
    /// A server took an event of ours that has no place here yet. To be said before it gets one.
    pub fn handed_over(&self, event: &EventId, to: &ServerName) {
        self.sender().handed.note(event, to);
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, server_name};

    use super::*;

    #[test]
    fn of_what_was_handed_over_the_newest_is_remembered() {
        let handed = Handed::default();
        let (a, b) = (server_name!("a.example"), server_name!("b.example"));
        handed.note(event_id!("$first"), a);
        assert!(handed.knows(event_id!("$first"), a));
        assert!(!handed.knows(event_id!("$first"), b));
        assert!(!handed.knows(event_id!("$other"), a));
        (0..HANDED_MAX).for_each(|_| handed.note(event_id!("$other"), b));
        assert!(!handed.knows(event_id!("$first"), a));
    }
}
