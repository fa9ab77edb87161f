//! Which servers are in which room.

use std::num::NonZeroUsize;

use blaupause_store::Part;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedServerName, RoomId};

use crate::{Change, Data, DataError, Parts, rows::RoomServerRow};

/// Rooms whose servers are kept in memory (some kB each, a few hundred for a large room).
const CACHED_ROOMS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).expect("not zero");
/// Servers of one room that are told of.
const SERVERS_MAX: u32 = 100_000;

/// Servers of recently asked rooms.
pub(crate) struct ServersCache(Mutex<Cached>);

struct Cached {
    rooms: LruCache<Part, Vec<OwnedServerName>>,
    /// Grows with every change, so that what was read before it is not kept after it.
    epoch: u64,
}

impl ServersCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Cached { rooms: LruCache::new(CACHED_ROOMS_MAX), epoch: 0 }))
    }

    pub(crate) fn forget_changed(&self, parts: Parts, changes: &[Change]) {
        for change in changes {
            if let Change::Servers { room } = change {
                let mut cached = self.0.lock();
                cached.epoch += 1;
                cached.rooms.pop(&parts.room(room));
            }
        }
    }
}

impl Data {
    /// The servers with somebody joined to a room, our own too, in order of their names. Read once
    /// a room, then in memory until a server comes or goes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn servers_in(&self, room: &RoomId) -> Result<Vec<OwnedServerName>, DataError> {
        let part = self.parts().room(room);
        let epoch = {
            let mut cached = self.servers_cache().0.lock();
            if let Some(servers) = cached.rooms.get(&part) {
                return Ok(servers.clone());
            }
            cached.epoch
        };
        let rows = self.list_all::<RoomServerRow>(part, &(), SERVERS_MAX).await?.rows;
        let servers: Vec<_> = rows.into_iter().map(|(server, _)| server).collect();
        let mut cached = self.servers_cache().0.lock();
        if cached.epoch == epoch {
            cached.rooms.put(part, servers.clone());
        }
        Ok(servers)
    }
}
