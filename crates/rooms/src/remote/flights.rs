//! One attempt at a time to come into a room.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Entries from which on those are removed that nobody uses.
const SWEEP_FROM: usize = 1_000;

/// Rooms that somebody tries to come into.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<OwnedRoomId, Weak<AsyncMutex<()>>>>);

impl Flights {
    /// Wait for one's turn. Dropping the guard ends it.
    pub(crate) async fn enter(&self, room: &RoomId) -> OwnedMutexGuard<()> {
        self.turn(room).lock_owned().await
    }

    fn turn(&self, room: &RoomId) -> Arc<AsyncMutex<()>> {
        let mut turns = self.0.lock();
        if let Some(turn) = turns.get(room).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= SWEEP_FROM {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        turns.insert(room.to_owned(), Arc::downgrade(&turn));
        turn
    }
}
