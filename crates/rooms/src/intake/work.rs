//! Which rooms have events that wait, in memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};
use tokio::sync::Notify;

/// Rooms with work. The stored inbox is the truth; this says where to look.
#[derive(Default)]
pub(crate) struct Inbox {
    rooms: Mutex<Work>,
    news: Notify,
}

#[derive(Default)]
struct Work {
    rooms: HashMap<OwnedRoomId, Room>,
    /// Rooms with work that nobody does yet.
    queue: VecDeque<OwnedRoomId>,
}

#[derive(Default)]
struct Room {
    /// Grows with every batch that is staged.
    staged: u64,
    /// About so many events wait.
    waiting: usize,
    /// Queued, or a task is at it.
    is_busy: bool,
    /// Wakes who is at it and waits.
    news: Arc<Notify>,
}

impl Inbox {
    /// How many events of a room wait, about.
    pub(crate) fn waiting(&self, room: &RoomId) -> usize {
        self.rooms.lock().rooms.get(room).map_or(0, |room| room.waiting)
    }

    /// Queue a batch with further events. In the lock, so that nobody takes the room for empty
    /// whose batch is queued behind this one.
    pub(crate) fn staged<T>(&self, room: &RoomId, count: usize, submit: impl FnOnce() -> T) -> T {
        let mut work = self.rooms.lock();
        let room = work.rooms.entry(room.to_owned()).or_default();
        room.staged += 1;
        room.waiting += count;
        submit()
    }

    /// There is work in a room.
    pub(crate) fn wake(&self, room: &RoomId) {
        let mut work = self.rooms.lock();
        let known = work.rooms.entry(room.to_owned()).or_default();
        if !known.is_busy {
            known.is_busy = true;
            work.queue.push_back(room.to_owned());
            self.news.notify_one();
        } else {
            known.news.notify_one();
        }
    }

    /// Tells when further events of a room come.
    pub(super) fn news(&self, room: &RoomId) -> Arc<Notify> {
        let mut work = self.rooms.lock();
        Arc::clone(&work.rooms.entry(room.to_owned()).or_default().news)
    }

    /// The next room with work; whoever takes it does it.
    pub(crate) async fn next(&self) -> OwnedRoomId {
        loop {
            if let Some(room) = self.try_next() {
                return room;
            }
            self.news.notified().await;
        }
    }

    pub(crate) fn try_next(&self) -> Option<OwnedRoomId> {
        self.rooms.lock().queue.pop_front()
    }

    /// How far a room's staging is, before its inbox is read.
    pub(super) fn seen(&self, room: &RoomId) -> u64 {
        self.rooms.lock().rooms.get(room).map_or(0, |room| room.staged)
    }

    /// So many events no longer wait.
    pub(super) fn done(&self, room: &RoomId, count: usize) {
        if let Some(room) = self.rooms.lock().rooms.get_mut(room) {
            room.waiting = room.waiting.saturating_sub(count);
        }
    }

    /// The inbox was empty: if nothing was staged since, `submit` forgets the room. Otherwise
    /// there is more to do.
    pub(super) fn finish<T>(
        &self,
        room: &RoomId,
        seen: u64,
        submit: impl FnOnce() -> T,
    ) -> Option<T> {
        let mut work = self.rooms.lock();
        if work.rooms.get(room).is_some_and(|room| room.staged != seen) {
            return None;
        }
        work.rooms.remove(room);
        Some(submit())
    }

    /// The room is left alone for now; its events wait for the next start, or the next event.
    pub(super) fn pause(&self, room: &RoomId) {
        if let Some(room) = self.rooms.lock().rooms.get_mut(room) {
            room.is_busy = false;
        }
    }
}
