//! Whose pushers are to be served when, and which pushers have to be left alone for a while.

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::Notify;

/// App id and push key.
pub(crate) type Key = (String, String);

/// Pushers whose failures are remembered; if there are more, they are all tried again.
const PAUSES_MAX: usize = 100_000;

#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    /// When each user is due, in milliseconds since the Unix epoch.
    due: HashMap<OwnedUserId, u64>,
    /// The same in the order of time.
    order: BTreeSet<(u64, OwnedUserId)>,
    /// Users who are being served: nobody is served twice at the same time.
    running: HashSet<OwnedUserId>,
    pauses: HashMap<(OwnedUserId, Key), Pause>,
}

#[derive(Clone, Copy)]
struct Pause {
    failures: u32,
    until_ms: u64,
}

impl Queue {
    /// Serve a user at a time, or earlier if they are due earlier.
    pub(crate) fn push(&self, user: OwnedUserId, at_ms: u64) {
        let mut inner = self.inner.lock();
        let before = inner.due.get(&user).copied();
        if before.is_some_and(|before| before <= at_ms) {
            return;
        }
        if let Some(before) = before {
            inner.order.remove(&(before, user.clone()));
        }
        inner.order.insert((at_ms, user.clone()));
        inner.due.insert(user, at_ms);
        drop(inner);
        self.news.notify_one();
    }

    /// Somebody who is due; or when the next one is.
    pub(crate) fn take(&self, now_ms: u64) -> Result<OwnedUserId, Option<u64>> {
        let mut inner = self.inner.lock();
        let free = inner.order.iter().find(|(_, user)| !inner.running.contains(user));
        let Some((at, user)) = free.cloned() else { return Err(None) };
        if at > now_ms {
            return Err(Some(at));
        }
        inner.order.remove(&(at, user.clone()));
        inner.due.remove(&user);
        inner.running.insert(user.clone());
        Ok(user)
    }

    /// A user was served, and has to be again at a time.
    pub(crate) fn done(&self, user: OwnedUserId, again_ms: Option<u64>) {
        self.inner.lock().running.remove(&user);
        match again_ms {
            Some(at) => self.push(user, at),
            None => self.news.notify_one(),
        }
    }

    /// Wait for something to do.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Until when a pusher is to be left alone.
    pub(crate) fn pause_of(&self, user: &UserId, key: &Key) -> Option<u64> {
        let inner = self.inner.lock();
        inner.pauses.get(&(user.to_owned(), key.clone())).map(|pause| pause.until_ms)
    }

    /// A pusher failed: leave it alone, twice as long each time. Says until when.
    pub(crate) fn pause(&self, user: &UserId, key: &Key, now_ms: u64, range: (u64, u64)) -> u64 {
        let mut inner = self.inner.lock();
        if inner.pauses.len() >= PAUSES_MAX {
            inner.pauses.clear();
        }
        let pause = inner.pauses.entry((user.to_owned(), key.clone()));
        let pause = pause.or_insert(Pause { failures: 0, until_ms: 0 });
        let longer = range.0.saturating_mul(1 << pause.failures.min(30));
        pause.failures += 1;
        pause.until_ms = now_ms + longer.min(range.1);
        pause.until_ms
    }

    /// A pusher works.
    pub(crate) fn forget_pause(&self, user: &UserId, key: &Key) {
        self.inner.lock().pauses.remove(&(user.to_owned(), key.clone()));
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn nobody_is_served_twice_at_the_same_time() {
        let queue = Queue::default();
        let alice = user_id!("@alice:x").to_owned();
        queue.push(alice.clone(), 5);
        assert_eq!(queue.take(4), Err(Some(5)));
        assert_eq!(queue.take(5), Ok(alice.clone()));
        queue.push(alice.clone(), 0);
        assert_eq!(queue.take(9), Err(None));
        queue.done(alice.clone(), None);
        assert_eq!(queue.take(9), Ok(alice));
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_end_with_a_success() {
        let queue = Queue::default();
        let (alice, key) = (user_id!("@alice:x"), ("a".to_owned(), "k".to_owned()));
        let pauses: Vec<u64> = (0..5).map(|_| queue.pause(alice, &key, 0, (10, 100))).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 100]);
        assert_eq!(queue.pause_of(alice, &key), Some(100));
        queue.forget_pause(alice, &key);
        assert_eq!(queue.pause_of(alice, &key), None);
        assert_eq!(queue.pause(alice, &key, 0, (10, 100)), 10);
    }
}
