//! One writer at a time in each room, first come, first served.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use blaupause_data::{Data, Part, StreamPos, Write};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{RoomsError, hot::RoomHot};

/// Rooms kept in memory. Beyond that the room that was idle for longest is let go.
const ROOMS_HOT_MAX: usize = 2_000;
/// Rooms at the idle end that are looked at to find one to let go.
const EVICT_LOOK_MAX: usize = 8;

/// The lanes of all rooms with recent activity.
pub(crate) struct Lanes(Mutex<LruCache<Part, Arc<Slot>>>);

/// One room's lane; everybody who waits or drives holds a reference.
#[derive(Default)]
pub(crate) struct Slot {
    /// `None`: load it from the store. The lock is fair.
    turn: Arc<AsyncMutex<Option<RoomHot>>>,
    /// A batch did not commit: what the lane believes is not what the store has.
    stale: AtomicBool,
}

impl Slot {
    /// Forget what the lane believes before its next turn.
    pub(crate) fn forget(&self) {
        self.stale.store(true, Ordering::SeqCst);
    }
}

/// A turn in a room's lane. Every write to a room needs one. Dropping it ends the turn.
pub(crate) struct Lane {
    slot: Arc<Slot>,
    hot: OwnedMutexGuard<Option<RoomHot>>,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::unbounded()))
    }

    /// Wait for one's turn. The room may still have to be loaded.
    pub(crate) async fn enter(&self, room: Part) -> Lane {
        let slot = self.slot(room);
        let mut hot = Arc::clone(&slot.turn).lock_owned().await;
        if slot.stale.swap(false, Ordering::SeqCst) {
            *hot = None;
        }
        Lane { slot, hot }
    }

    fn slot(&self, room: Part) -> Arc<Slot> {
        let mut lanes = self.0.lock();
        if let Some(slot) = lanes.get(&room) {
            return Arc::clone(slot);
        }
        if lanes.len() >= ROOMS_HOT_MAX {
            // Nobody drives or waits where this map holds the only reference, and nobody can
            // start to while the map is locked.
            let idle = lanes.iter().rev().take(EVICT_LOOK_MAX);
            let idle: Vec<Part> = idle
                .filter(|(_, slot)| Arc::strong_count(slot) == 1)
                .map(|(part, _)| *part)
                .collect();
            for part in idle {
                lanes.pop(&part);
            }
        }
        let slot = Arc::new(Slot::default());
        lanes.put(room, Arc::clone(&slot));
        slot
    }
}

impl Lane {
    /// What is known of the room; `None` if it was not loaded yet.
    pub(crate) fn hot(&mut self) -> &mut Option<RoomHot> {
        &mut self.hot
    }

    /// The room of a lane that [`crate::Rooms::lane`] gave.
    pub(crate) fn room(&mut self) -> Result<&mut RoomHot, RoomsError> {
        self.hot.as_mut().ok_or(RoomsError::RoomUnknown)
    }

    /// End the turn. Use the slot to report a batch that does not commit.
    pub(crate) fn release(self) -> Arc<Slot> {
        self.slot
    }

    /// The next turn loads the room anew: something that is kept of it will not be so any more.
    pub(crate) fn forget_after(&self) {
        self.slot.forget();
    }

    /// Commit a batch and keep the lane until it is durable.
    ///
    /// What the lane knows must already contain the batch. Should the caller be dropped while
    /// waiting, the next turn loads the room anew; if it is faster than the batch it conflicts
    /// and is tried again.
    pub(crate) async fn commit(
        mut self,
        data: &Data,
        write: Write,
    ) -> Result<StreamPos, RoomsError> {
        let hot = self.hot.take();
        let pos = data.submit(write).await.map_err(blaupause_data::DataError::from)?;
        *self.hot = hot;
        Ok(pos)
    }
}
