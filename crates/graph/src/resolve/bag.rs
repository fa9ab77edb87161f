use std::{collections::HashMap, sync::Arc};

use ruma::{EventId, OwnedEventId, events::StateEventType};

use crate::{AuthGraph, EventNo, PageNo, Pdu, StateKeyNo, tree::Pages};

/// Everything of one room that is at hand for a computation; [`crate::Need`] says what to add.
#[derive(Clone, Debug, Default)]
pub struct Bag {
    pages: HashMap<PageNo, Arc<[u8]>>,
    events: HashMap<EventNo, Pdu>,
    numbers: HashMap<OwnedEventId, EventNo>,
    keys: HashMap<(StateEventType, String), Option<StateKeyNo>>,
    auth_graph: Option<Arc<AuthGraph>>,
}

impl Bag {
    /// An empty bag.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a page of the state tree.
    pub fn add_page(&mut self, no: PageNo, page: impl Into<Arc<[u8]>>) {
        self.pages.insert(no, page.into());
    }

    /// Adds an event with its number; its rejection mark must be right.
    pub fn add_event(&mut self, no: EventNo, pdu: Pdu) {
        self.numbers.insert(pdu.event_id().to_owned(), no);
        self.events.insert(no, pdu);
    }

    /// Adds the number of a state key, or that the room has no such key.
    pub fn add_key(&mut self, kind: StateEventType, state_key: String, no: Option<StateKeyNo>) {
        self.keys.insert((kind, state_key), no);
    }

    /// Sets the room's auth graph.
    pub fn set_auth_graph(&mut self, graph: Arc<AuthGraph>) {
        self.auth_graph = Some(graph);
    }

    /// An event at hand.
    pub fn event(&self, no: EventNo) -> Option<&Pdu> {
        self.events.get(&no)
    }

    /// An event at hand, by id.
    pub fn event_by_id(&self, id: &EventId) -> Option<&Pdu> {
        self.events.get(self.numbers.get(id)?)
    }

    /// The number of an event at hand.
    pub fn number(&self, id: &EventId) -> Option<EventNo> {
        self.numbers.get(id).copied()
    }

    /// The number of a state key: `None` if not known, `Some(None)` if the room has no such key.
    pub fn key(&self, name: &(StateEventType, String)) -> Option<Option<StateKeyNo>> {
        self.keys.get(name).copied()
    }

    pub(super) fn auth_graph(&self) -> Option<&AuthGraph> {
        self.auth_graph.as_deref()
    }
}

impl Pages for Bag {
    fn page(&self, no: PageNo) -> Option<&[u8]> {
        self.pages.get(&no).map(|page| &**page)
    }
}
