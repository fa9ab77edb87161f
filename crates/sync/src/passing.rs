//! When typing and presence last changed, counted from the start of the server.

use std::{collections::HashMap, sync::Arc};

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
    typing: HashMap<OwnedRoomId, u64>,
    presence: HashMap<OwnedUserId, u64>,
}

fn remember<K: Eq + std::hash::Hash>(changes: &mut HashMap<K, u64>, key: K, count: u64) {
    if changes.len() >= REMEMBERED_MAX {
        changes.clear();
    }
    changes.insert(key, count);
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
                Passing::Typing { room } => remember(&mut state.typing, room.clone(), count),
                Passing::Presence { user } => remember(&mut state.presence, user.clone(), count),
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
        let state = self.state.lock();
        if state.count <= since {
            return Vec::new();
        }
        let changed = state.presence.iter().filter(|(_, count)| **count > since);
        changed.map(|(user, _)| user.clone()).collect()
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
            .filter(|room| state.typing.get(*room).is_some_and(|count| *count > since))
            .map(ToOwned::to_owned)
            .collect()
    }
}
