//! What a lane keeps of its room in memory.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
};

use blaupause_data::{DataError, Part, rows::RoomHead};
use blaupause_graph::{AuthGraph, EventNo, PageNo, Pdu, StateKeyNo, rules_of, tree::Pages};
use lru::LruCache;
use ruma::{
    OwnedEventId, OwnedServerName, events::StateEventType, room_version_rules::RoomVersionRules,
};

use crate::RoomsError;

/// State keys kept of one room. One event needs about five, a restricted join some dozens.
const STATE_KEYS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// Pages of the state tree kept of one room; dropped together when there are more.
const PAGES_MAX: usize = 64;
/// Servers of one room whose joined users are kept counted.
const SERVERS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// Newest transactions kept of one room, so that a repeated request finds one that is not yet
/// durable. More requests than this may be under way; then the batch's precondition tells.
const TRANSACTIONS_MAX: usize = 64;

/// Type and state key.
pub(crate) type StateName = (StateEventType, String);

/// What the current state says about one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// `None`: the room has never had this key.
    pub number: Option<StateKeyNo>,
    pub event: Option<(EventNo, Pdu)>,
}

/// Pages at hand.
#[derive(Debug, Default)]
pub(crate) struct PageBag(pub HashMap<PageNo, Arc<Vec<u8>>>);

impl Pages for PageBag {
    fn page(&self, no: PageNo) -> Option<&[u8]> {
        self.0.get(&no).map(|page| page.as_slice())
    }
}

/// A room as its lane knows it. It runs ahead of the store: batches that are queued but not yet
/// durable are contained.
#[derive(Debug)]
pub(crate) struct RoomHot {
    pub part: Part,
    /// Version of the head row; 0 for a room that is being made.
    pub version: u64,
    pub head: RoomHead,
    pub rules: RoomVersionRules,
    /// Current state, as far as it was looked up.
    pub state: LruCache<StateName, Known>,
    pub pages: PageBag,
    /// How many users of a server are joined, as far as it was looked up.
    pub servers: LruCache<OwnedServerName, u64>,
    /// Who authorizes whom, up to the newest event; only rooms that fork need it.
    pub graph: Option<Arc<AuthGraph>>,
    transactions: VecDeque<([u8; 16], OwnedEventId)>,
}

impl RoomHot {
    pub(crate) fn new(part: Part, version: u64, head: RoomHead) -> Result<Self, RoomsError> {
        let rules = rules_of(&head.version);
        let rules = rules.ok_or_else(|| DataError::Damaged("meta/h: room version".into()))?;
        Ok(Self {
            part,
            version,
            head,
            rules,
            state: LruCache::new(STATE_KEYS_MAX),
            pages: PageBag::default(),
            servers: LruCache::new(SERVERS_MAX),
            graph: None,
            transactions: VecDeque::new(),
        })
    }

    /// Keep pages that the next state change will probably look at.
    pub(crate) fn keep_pages(&mut self, pages: PageBag) {
        if self.pages.0.len() + pages.0.len() > PAGES_MAX {
            self.pages.0.clear();
        }
        self.pages.0.extend(pages.0);
    }

    /// The event of a transaction that may not be durable yet.
    pub(crate) fn transaction(&self, key: &[u8; 16]) -> bool {
        self.transactions.iter().any(|(known, _)| known == key)
    }

    pub(crate) fn note_transaction(&mut self, key: [u8; 16], event: OwnedEventId) {
        if self.transactions.len() == TRANSACTIONS_MAX {
            self.transactions.pop_front();
        }
        self.transactions.push_back((key, event));
    }
}
