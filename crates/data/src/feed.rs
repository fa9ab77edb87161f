//! The end of the log in memory, and who wants to know when it grows.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use blaupause_store::StreamPos;
use bytes::Bytes;
use parking_lot::RwLock;

use crate::{Change, Passing};

/// Batches kept in memory. A client that is further behind is served from the stored rows.
pub(crate) const RECENT_BATCHES_MAX: usize = 16_384;

/// The changes of one batch and its position.
pub type Committed = (StreamPos, Arc<[Change]>);

/// A follower's callback. Runs on the commit thread: wake somebody, nothing more.
pub type OnCommitted = Box<dyn Fn(StreamPos, &Arc<[Change]>) + Send + Sync>;

/// A follower's callback for what is not stored.
pub type OnPassing = Box<dyn Fn(&Passing) + Send + Sync>;

/// Recent changes, and callbacks for new ones. Callbacks see batches in commit order, after they
/// are durable and readable and before the committing call returns.
///
/// A batch is durable before anything in memory knows of it. Who looked in between would take a
/// position for seen whose changes no cache has learned, and never look at them again. So the feed
/// has a position of its own, and each batch goes through three steps: memory learns of it
/// ([`Feed::follow`]), then the position moves ([`Feed::position`]), then those who wait are woken
/// ([`Feed::follow_visible`]).
#[derive(Default)]
pub struct Feed {
    recent: RwLock<Recent>,
    position: AtomicU64,
    followers: RwLock<Vec<OnCommitted>>,
    wakers: RwLock<Vec<OnCommitted>>,
    passing: RwLock<Vec<OnPassing>>,
}

#[derive(Default)]
struct Recent {
    batches: VecDeque<Committed>,
    /// Every change after this position is in `batches`.
    complete_after: StreamPos,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

impl Feed {
    pub(crate) fn starting_at(pos: StreamPos) -> Self {
        let feed = Self::default();
        feed.recent.write().complete_after = pos;
        feed.position.store(pos.0, Ordering::SeqCst);
        feed
    }

    /// What was committed before this process started: batches, oldest first, and the position
    /// after which none is missing. To be called before the first batch is committed.
    pub(crate) fn fill(&self, mut batches: Vec<Committed>, mut complete_after: StreamPos) {
        let too_many = batches.len().saturating_sub(RECENT_BATCHES_MAX);
        if let Some((last, _)) = batches.drain(..too_many).next_back() {
            complete_after = last;
        }
        *self.recent.write() = Recent { batches: batches.into(), complete_after };
    }

    pub(crate) fn committed(&self, pos: StreamPos, lines: &[Bytes]) {
        let changes: Arc<[Change]> = lines.iter().filter_map(|line| Change::decode(line)).collect();
        {
            let mut recent = self.recent.write();
            if recent.batches.len() == RECENT_BATCHES_MAX
                && let Some((oldest, _)) = recent.batches.pop_front()
            {
                recent.complete_after = oldest;
            }
            recent.batches.push_back((pos, Arc::clone(&changes)));
        }
        for follower in self.followers.read().iter() {
            follower(pos, &changes);
        }
        self.position.store(pos.0, Ordering::SeqCst);
        for waker in self.wakers.read().iter() {
            waker(pos, &changes);
        }
    }

    /// Everything up to here is durable, in the feed and known to those who follow it. Batches
    /// without changes do not move it.
    pub fn position(&self) -> StreamPos {
        StreamPos(self.position.load(Ordering::SeqCst))
    }

    /// The newest position that followers were told of, or are being told of.
    pub(crate) fn newest(&self) -> StreamPos {
        let recent = self.recent.read();
        let last = recent.batches.back().map_or(recent.complete_after, |(pos, _)| *pos);
        last.max(self.position())
    }

    /// Batches with `since < position <= until`, oldest first; `None` if memory does not reach
    /// back that far.
    pub fn between(&self, since: StreamPos, until: StreamPos) -> Option<Vec<Committed>> {
        let recent = self.recent.read();
        if since < recent.complete_after {
            return None;
        }
        let from = recent.batches.partition_point(|(pos, _)| *pos <= since);
        let to = recent.batches.partition_point(|(pos, _)| *pos <= until);
        Some(recent.batches.range(from..to.max(from)).cloned().collect())
    }

    /// Be called for every batch from now on, before [`Feed::position`] contains it: for caches,
    /// which must have forgotten what changed when somebody looks.
    pub fn follow(&self, follower: OnCommitted) {
        self.followers.write().push(follower);
    }

    /// Be called for every batch from now on, as soon as [`Feed::position`] contains it: for those
    /// who wake somebody to look.
    pub fn follow_visible(&self, waker: OnCommitted) {
        self.wakers.write().push(waker);
    }

    /// Be called for everything that passes without being stored.
    pub fn follow_passing(&self, follower: OnPassing) {
        self.passing.write().push(follower);
    }

    /// Tell followers about something that is not stored.
    pub fn pass(&self, passing: &Passing) {
        for follower in self.passing.read().iter() {
            follower(passing);
        }
    }
}

#[cfg(test)]
mod tests {
    use blaupause_store::{Db, MemStore};
    use parking_lot::Mutex;
    use ruma::{server_name, user_id};

    use super::*;
    use crate::{Data, Env, Write};

    #[tokio::test]
    async fn memory_learns_of_a_batch_before_it_can_be_seen_and_clients_are_woken_after() {
        let db = Db::Mem(MemStore::new());
        let data = Data::open(db, server_name!("x"), Env::manual(0)).await.expect("an empty store");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (in_cache, in_waker) = (Arc::clone(&seen), Arc::clone(&seen));
        let (at_cache, at_waker) = (data.clone(), data.clone());
        let look = |data: &Data, pos: StreamPos| {
            let is_seen = data.position() >= pos;
            let is_known = data.feed().between(StreamPos(pos.0 - 1), pos);
            (is_seen, is_known.map(|batches| batches.len()))
        };
        // In the wrong order on purpose: the order of registration does not matter.
        data.feed().follow_visible(Box::new(move |pos, _| {
            in_waker.lock().push(("waker", look(&at_waker, pos)));
        }));
        data.feed().follow(Box::new(move |pos, _| {
            in_cache.lock().push(("cache", look(&at_cache, pos)));
        }));
        let user = user_id!("@a:x");
        let mut write = Write::new(data.parts().user(user));
        write.change(&Change::Profile { user: user.to_owned() });
        let pos = data.commit(write).await.expect("commits");
        assert_eq!(seen.lock()[..], [("cache", (false, Some(1))), ("waker", (true, Some(1)))]);
        assert_eq!(data.position(), pos);
    }
}
