//! Who is known to be joined where, for what must not cost a read (typing).

use std::num::NonZeroUsize;

use blaupause_data::{Change, Member};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{Rooms, RoomsError};

/// Memberships kept in memory (about 150 bytes each).
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

/// Local users and rooms that they are joined to. Only what is true is kept.
pub(crate) struct JoinedCache(Mutex<Cached>);

struct Cached {
    joined: LruCache<(OwnedUserId, OwnedRoomId), ()>,
    /// Grows with every change of a membership, so that what was read before it is not kept after
    /// it.
    epoch: u64,
}

impl Default for JoinedCache {
    fn default() -> Self {
        Self(Mutex::new(Cached { joined: LruCache::new(CACHED_MAX), epoch: 0 }))
    }
}

impl JoinedCache {
    pub(crate) fn forget_changed(&self, change: &Change) {
        if let Change::Membership { user, room, .. } = change {
            let mut cached = self.0.lock();
            cached.epoch += 1;
            cached.joined.pop(&(user.clone(), room.clone()));
        }
    }
}

impl Rooms {
    /// Whether a local user is joined to a room; from memory if it was asked lately.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn is_joined(&self, user: &UserId, room: &RoomId) -> Result<bool, RoomsError> {
        let key = (user.to_owned(), room.to_owned());
        let epoch = {
            let mut cached = self.joined_cache().0.lock();
            if cached.joined.get(&key).is_some() {
                return Ok(true);
            }
            cached.epoch
        };
        let row = self.data().membership(user, room).await?;
        let joined = row.is_some_and(|row| row.membership == Member::Join && row.room_id == room);
        let mut cached = self.joined_cache().0.lock();
        if joined && cached.epoch == epoch {
            cached.joined.put(key, ());
        }
        Ok(joined)
    }
}
