//! Which state of a room a client wants.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use blaupause_data::Event;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, UserId, api::client::sync::sync_events::v5, events::StateEventType};

use crate::state::MEMBER;

/// Different wishes that are remembered. Clients of one kind have the same.
const POOLED_MAX: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");

/// All wishes for one room: those of every list it is in, and of its subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RoomConfig {
    pub timeline_limit: u64,
    /// (event type or `*`, state key or `*`, `$ME`, `$LAZY`).
    pub required: BTreeSet<(String, String)>,
}

impl RoomConfig {
    fn new(required: &[(StateEventType, String)], timeline_limit: u64) -> Self {
        let required = required.iter().map(|(kind, key)| (kind.to_string(), key.clone()));
        Self { timeline_limit, required: required.collect() }
    }

    /// The wishes of both.
    fn and(&self, other: &Self) -> Self {
        Self {
            timeline_limit: self.timeline_limit.max(other.timeline_limit),
            required: self.required.union(&other.required).cloned().collect(),
        }
    }

    /// Members are told as they speak.
    pub(crate) fn is_lazy(&self) -> bool {
        self.required.iter().any(|(kind, key)| kind == MEMBER && key == "$LAZY")
    }

    /// Whether members are told that no event of the timeline shows.
    pub(crate) fn wants_all_members(&self) -> bool {
        let mut of_members = self.required.iter().filter(|(kind, _)| kind == MEMBER || kind == "*");
        of_members.any(|(_, key)| key != "$LAZY" && key != "$ME")
    }

    /// Whether an event of the state is wanted (apart from lazily told members).
    pub(crate) fn wants(&self, event: &Event, me: &UserId) -> bool {
        let Some(state_key) = event.state_key.as_deref() else { return false };
        self.required.iter().any(|(kind, key)| {
            (kind == "*" || *kind == event.kind)
                && match key.as_str() {
                    "*" => true,
                    "$ME" => me == state_key,
                    "$LAZY" => false,
                    key => key == state_key,
                }
        })
    }

    /// Whether only single keys are named, so that they can be looked up.
    pub(crate) fn single_keys(&self, me: &UserId) -> Option<Vec<(String, String)>> {
        self.required
            .iter()
            .filter(|(_, key)| key != "$LAZY")
            .map(|(kind, key)| match key.as_str() {
                _ if kind == "*" => None,
                "*" => None,
                "$ME" => Some((kind.clone(), me.to_string())),
                _ => Some((kind.clone(), key.clone())),
            })
            .collect()
    }

    /// The wishes that `before` did not have.
    pub(crate) fn beyond(&self, before: &Self) -> Self {
        Self {
            timeline_limit: self.timeline_limit,
            required: self.required.difference(&before.required).cloned().collect(),
        }
    }

    /// Whether a client wants more of a room than it did.
    pub(crate) fn wants_more_than(self: &Arc<Self>, before: &Arc<Self>) -> bool {
        !Arc::ptr_eq(self, before)
            && (self.timeline_limit > before.timeline_limit
                || !self.required.is_subset(&before.required))
    }
}

/// Equal wishes are kept once, however many rooms and clients have them.
pub(crate) struct ConfigPool(Mutex<LruCache<Arc<RoomConfig>, ()>>);

impl ConfigPool {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(POOLED_MAX)))
    }

    pub(crate) fn shared(&self, config: RoomConfig) -> Arc<RoomConfig> {
        let config = Arc::new(config);
        let mut pool = self.0.lock();
        if let Some((known, ())) = pool.get_key_value(&config) {
            return Arc::clone(known);
        }
        pool.put(Arc::clone(&config), ());
        config
    }
}

/// The wishes for each room of a request.
pub(crate) struct Configs<'a> {
    pool: &'a ConfigPool,
    rooms: BTreeMap<OwnedRoomId, Arc<RoomConfig>>,
    /// Wishes put together from two: many rooms are in the same lists.
    merged: HashMap<(usize, usize), Arc<RoomConfig>>,
    /// All rooms of all lists, whether in a window or not; `None`: nobody asks.
    listed: Option<HashSet<OwnedRoomId>>,
}

impl<'a> Configs<'a> {
    pub(crate) fn new(pool: &'a ConfigPool) -> Self {
        Self { pool, rooms: BTreeMap::new(), merged: HashMap::new(), listed: None }
    }

    /// Somebody will ask which rooms are in a list.
    pub(crate) fn note_listed(&mut self) {
        self.listed = Some(HashSet::new());
    }

    pub(crate) fn listed<'r>(&mut self, rooms: impl Iterator<Item = &'r OwnedRoomId>) {
        if let Some(listed) = &mut self.listed {
            listed.extend(rooms.cloned());
        }
    }

    /// Whether a list or a subscription chooses a room.
    pub(crate) fn wants(&self, room: &OwnedRoomId) -> bool {
        self.rooms.contains_key(room)
            || self.listed.as_ref().is_some_and(|listed| listed.contains(room))
    }

    /// What a list or a subscription wants.
    pub(crate) fn wish(
        &self,
        required: &[(StateEventType, String)],
        timeline_limit: u64,
    ) -> Arc<RoomConfig> {
        self.pool.shared(RoomConfig::new(required, timeline_limit))
    }

    pub(crate) fn add(&mut self, room: &OwnedRoomId, wish: &Arc<RoomConfig>) {
        let Some(known) = self.rooms.get_mut(room) else {
            self.rooms.insert(room.clone(), Arc::clone(wish));
            return;
        };
        if Arc::ptr_eq(known, wish) {
            return;
        }
        let names = (Arc::as_ptr(known).addr(), Arc::as_ptr(wish).addr());
        let merged = self.merged.entry(names);
        *known = Arc::clone(merged.or_insert_with(|| self.pool.shared(known.and(wish))));
    }

    pub(crate) fn add_subscriptions(&mut self, body: &v5::Request) {
        for (room, wanted) in &body.room_subscriptions {
            let wish = self.wish(&wanted.required_state, wanted.timeline_limit.into());
            self.add(room, &wish);
        }
    }

    pub(crate) fn rooms(&self) -> &BTreeMap<OwnedRoomId, Arc<RoomConfig>> {
        &self.rooms
    }
}
