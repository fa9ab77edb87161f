//! How pure code asks for data: it says what it lacks and is called again.

use std::collections::BTreeSet;

use ruma::{OwnedEventId, events::StateEventType};

use crate::{EventNo, PageNo};

/// Result of a computation that may lack data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Finished.
    Done(T),
    /// Fetch all of this in one read, put it into the bag, ask again. A caller that cannot supply
    /// what is named has broken data: the same need never goes away by itself.
    Need(Need),
}

impl<T> Step<T> {
    /// Changes a finished result, keeps a need.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Done(value) => Step::Done(change(value)),
            Self::Need(need) => Step::Need(need),
        }
    }

    /// The finished result, if it is one.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Need(_) => None,
        }
    }
}

/// What is lacking. Ordered, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Pages of the state tree.
    pub pages: BTreeSet<PageNo>,
    /// Events by number.
    pub events: BTreeSet<EventNo>,
    /// Events by id; asked for only if their number is not known.
    pub event_ids: BTreeSet<OwnedEventId>,
    /// Numbers of these state keys. "No such key in this room" is an answer, too.
    pub key_numbers: BTreeSet<(StateEventType, String)>,
    /// The room's auth graph up to the newest event involved.
    pub auth_graph: bool,
}

impl Need {
    /// Nothing is lacking.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds all that another need names.
    pub fn extend(&mut self, other: Self) {
        self.pages.extend(other.pages);
        self.events.extend(other.events);
        self.event_ids.extend(other.event_ids);
        self.key_numbers.extend(other.key_numbers);
        self.auth_graph |= other.auth_graph;
    }

    /// `Done` if nothing is lacking.
    pub(crate) fn or<T>(self, value: T) -> Step<T> {
        if self.is_empty() { Step::Done(value) } else { Step::Need(self) }
    }
}
