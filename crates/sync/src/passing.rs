//! When typing and presence last changed, counted from the start of the server.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    ops::Bound,
    sync::Arc,
};

use blaupause_data::{Data, Passing};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

/// Rooms and users whose last change is remembered; more than ever change between two syncs.
const REMEMBERED_MAX: usize = 100_000;

/// Counts what passes without being stored.
#[derive(Clone)]
pub(crate) struct PassingLog {
    boot: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    count: u64,
    typing: Changes<OwnedRoomId>,
    presence: Changes<OwnedUserId>,
}

/// When things last changed: by thing, and in order.
struct Changes<K> {
    last: HashMap<K, u64>,
    in_order: BTreeMap<u64, K>,
}

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Self { last: HashMap::new(), in_order: BTreeMap::new() }
    }
}

impl<K: Eq + Hash + Clone> Changes<K> {
    /// At the limit the oldest change is forgotten.
    fn remember(&mut self, key: K, count: u64) {
        if let Some(before) = self.last.insert(key.clone(), count) {
            self.in_order.remove(&before);
        } else if self.last.len() > REMEMBERED_MAX
            && let Some((_, oldest)) = self.in_order.pop_first()
        {
            self.last.remove(&oldest);
        }
        self.in_order.insert(count, key);
    }

    fn since(&self, since: u64) -> impl Iterator<Item = &K> {
        self.in_order.range((Bound::Excluded(since), Bound::Unbounded)).map(|(_, key)| key)
    }
}

impl PassingLog {
    pub(crate) fn new(data: &Data) -> Self {
        let log = Self { boot: u32::from_be_bytes(data.env().random()), state: Arc::default() };
        let state = Arc::clone(&log.state);
        data.feed().follow_passing(Box::new(move |passing| {
            let mut state = state.lock();
            state.count += 1;
            let count = state.count;
            match passing {
                Passing::Typing { room } => state.typing.remember(room.clone(), count),
                Passing::Presence { user } => state.presence.remember(user.clone(), count),
            }
        }));
        log
    }

    /// Distinguishes this run of the server from others.
    pub(crate) fn boot(&self) -> u32 {
        self.boot
    }

    /// Everything so far.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// What a client with this token has seen: nothing, if the token is from another run.
    pub(crate) fn seen(&self, boot: u32, count: u64) -> u64 {
        if boot == self.boot { count } else { 0 }
    }

    /// Users whose presence changed after `since`.
    pub(crate) fn presence_since(&self, since: u64) -> Vec<OwnedUserId> {
        self.state.lock().presence.since(since).cloned().collect()
    }

    /// Users among `users` whose presence changed at all.
    pub(crate) fn presence_among(
        &self,
        users: impl IntoIterator<Item = OwnedUserId>,
    ) -> Vec<OwnedUserId> {
        let state = self.state.lock();
        users.into_iter().filter(|user| state.presence.last.contains_key(user)).collect()
    }

    /// Rooms among `rooms` where typing changed after `since`.
    pub(crate) fn typing_since<'a>(
        &self,
        since: u64,
        rooms: impl Iterator<Item = &'a RoomId>,
    ) -> Vec<OwnedRoomId> {
        let state = self.state.lock();
        if state.count <= since {
            return Vec::new();
        }
        rooms
            .filter(|room| state.typing.last.get(*room).is_some_and(|count| *count > since))
            .map(ToOwned::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_order_and_each_thing_once() {
        let mut changes = Changes::default();
        for (count, key) in (1..).zip(["a", "b", "a", "c"]) {
            changes.remember(key, count);
        }
        assert_eq!(changes.since(0).copied().collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(changes.since(3).copied().collect::<Vec<_>>(), ["c"]);
        assert_eq!(changes.since(4).count(), 0);
    }

    #[test]
    fn a_bounded_number_of_things_is_remembered() {
        let mut changes = Changes::default();
        for count in 0..REMEMBERED_MAX as u64 + 10 {
            changes.remember(count, count);
        }
        assert_eq!((changes.last.len(), changes.in_order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert_eq!(changes.since(0).next(), Some(&10));
    }
}
