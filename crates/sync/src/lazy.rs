//! Which members a device was already told about (spec: client-server API, "Lazy-loading room
//! members").

use std::{collections::HashSet, num::NonZeroUsize};

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

/// Pairs of device and room that are remembered. Forgetting one costs a repeated member event.
const PAIRS_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// Members remembered for one device and room.
const MEMBERS_MAX: usize = 1_000;

type Key = (OwnedUserId, OwnedDeviceId, OwnedRoomId);

/// In memory only: what is forgotten is sent again.
pub(crate) struct SentMembers(Mutex<LruCache<Key, HashSet<OwnedUserId>>>);

impl SentMembers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(PAIRS_MAX)))
    }

    /// Forget everything sent to a device in a room: it starts anew.
    pub(crate) fn reset(&self, key: &Key) {
        self.0.lock().pop(key);
    }

    /// Those of `wanted` that were not sent yet; from now on they count as sent.
    pub(crate) fn not_sent(&self, key: &Key, wanted: &[OwnedUserId]) -> Vec<OwnedUserId> {
        let mut pairs = self.0.lock();
        let sent = pairs.get_or_insert_mut(key.clone(), HashSet::new);
        if sent.len() + wanted.len() > MEMBERS_MAX {
            sent.clear();
        }
        wanted.iter().filter(|user| sent.insert((*user).clone())).cloned().collect()
    }
}
