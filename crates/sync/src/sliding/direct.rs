//! Which rooms a user marked as direct chats, kept in memory until they say otherwise.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use blaupause_data::{Change, Data};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, UserId, events::direct::DirectEventContent};

use crate::{Sync, SyncError};

/// Users whose direct chats are kept in memory.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");

/// Direct chats, by user.
#[derive(Clone)]
pub(crate) struct DirectCache(Arc<Mutex<Cached>>);

struct Cached {
    rooms: LruCache<OwnedUserId, Arc<HashSet<OwnedRoomId>>>,
    /// Grows with every change, so that what was read before one is not kept after it.
    epoch: u64,
}

impl DirectCache {
    pub(crate) fn new(data: &Data) -> Self {
        let cached = Cached { rooms: LruCache::new(CACHED_MAX), epoch: 0 };
        let cache = Self(Arc::new(Mutex::new(cached)));
        let follower = cache.clone();
        data.feed().follow(Box::new(move |_, changes| {
            for change in changes.iter() {
                if let Change::AccountData { user, room: None } = change {
                    let mut cached = follower.0.lock();
                    cached.rooms.pop(user);
                    cached.epoch += 1;
                }
            }
        }));
        cache
    }
}

impl Sync {
    /// Rooms that the user marked as direct chats.
    pub(super) async fn direct_rooms(
        &self,
        user: &UserId,
    ) -> Result<Arc<HashSet<OwnedRoomId>>, SyncError> {
        let cache = &self.0.direct;
        let epoch = {
            let mut cached = cache.0.lock();
            if let Some(rooms) = cached.rooms.get(user) {
                return Ok(Arc::clone(rooms));
            }
            cached.epoch
        };
        let stored = self.accounts().account_data(user, None, "m.direct").await?;
        let content =
            stored.and_then(|json| serde_json::from_str::<DirectEventContent>(json.get()).ok());
        let rooms: HashSet<_> =
            content.into_iter().flat_map(|content| content.0.into_values().flatten()).collect();
        let rooms = Arc::new(rooms);
        let mut cached = cache.0.lock();
        if cached.epoch == epoch {
            cached.rooms.put(user.to_owned(), Arc::clone(&rooms));
        }
        Ok(rooms)
    }
}
