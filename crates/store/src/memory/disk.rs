//! A store in memory that takes its time as one with a disk does, so that tests can try the orders
//! in which things then happen: others run while somebody reads, and a batch is durable and
//! readable before anybody was told.

use std::{collections::VecDeque, future::poll_fn, task::Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::MemStore;
use crate::{CommitError, StreamPos};

/// How often others get their turn before a read is answered.
type Turns = Box<dyn Fn() -> u32 + Send + Sync>;

type Answer = oneshot::Sender<Result<StreamPos, CommitError>>;

/// How a batch ended, its changes, and who waits to hear of it.
type Kept = (Result<StreamPos, CommitError>, Vec<Bytes>, Answer);

pub(super) struct Disk {
    turns: Turns,
    /// Batches that nobody was told of, oldest first.
    kept: Mutex<VecDeque<Kept>>,
    news: Notify,
}

impl Disk {
    /// Let others have their turns.
    pub(super) async fn seek(&self) {
        for _ in 0..(self.turns)() {
            let mut had_turn = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut had_turn, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }

    pub(super) fn keep(
        &self,
        result: Result<StreamPos, CommitError>,
        changes: Vec<Bytes>,
        answer: Answer,
    ) {
        self.kept.lock().push_back((result, changes, answer));
        self.news.notify_one();
    }
}

impl MemStore {
    /// From now on every read lets others run for that many turns first, and batches are durable
    /// and readable when they are submitted but told of only by [`MemStore::tell_next`].
    ///
    /// # Panics
    /// If called twice.
    pub fn slow_down(&self, turns: impl Fn() -> u32 + Send + Sync + 'static) {
        let disk = Disk { turns: Box::new(turns), kept: Mutex::default(), news: Notify::new() };
        assert!(self.0.disk.set(disk).is_ok(), "a store is slowed down once");
    }

    /// Wait until there is a batch that nobody was told of. For one who tells of all of them then.
    pub async fn kept(&self) {
        match self.0.disk.get() {
            Some(disk) => disk.news.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Tell of the oldest batch that nobody was told of: the commit hook, then who submitted it.
    /// Whether there was one.
    pub fn tell_next(&self) -> bool {
        let next = self.0.disk.get().and_then(|disk| disk.kept.lock().pop_front());
        let Some((result, changes, answer)) = next else { return false };
        if let Ok(pos) = result {
            self.tell(pos, &changes);
        }
        // Nobody waits for it any more, perhaps.
        let _ = answer.send(result);
        true
    }
}
