//! A bounded cache of things that can change.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, Ordering},
};

use lru::LruCache;
use parking_lot::Mutex;

/// Keeps what was read last. Something read before a change is never cached after it: take a
/// [`Ticket`] before reading, and forgetting makes older tickets void.
pub(crate) struct Cache<K: Hash + Eq, V> {
    entries: Mutex<LruCache<K, V>>,
    epoch: AtomicU64,
}

/// When a read began.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(u64);

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub fn new(entries_max: NonZeroUsize) -> Self {
        Self { entries: Mutex::new(LruCache::new(entries_max)), epoch: AtomicU64::new(0) }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        self.entries.lock().get(key).cloned()
    }

    /// To be taken before the read whose result is to be cached.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.epoch.load(Ordering::SeqCst))
    }

    /// Keep a value, unless something was forgotten since the ticket was taken.
    pub fn put(&self, ticket: Ticket, key: K, value: V) {
        let mut entries = self.entries.lock();
        if self.epoch.load(Ordering::SeqCst) == ticket.0 {
            entries.put(key, value);
        }
    }

    pub fn forget(&self, key: &K) {
        let mut entries = self.entries.lock();
        self.epoch.fetch_add(1, Ordering::SeqCst);
        entries.pop(key);
    }

    /// Forget everything that matches. Looks at every entry: for rare events only.
    pub fn forget_where(&self, matches: impl Fn(&K, &V) -> bool) {
        let mut entries = self.entries.lock();
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let gone: Vec<K> =
            entries.iter().filter(|(k, v)| matches(k, v)).map(|(k, _)| k.clone()).collect();
        for key in &gone {
            entries.pop(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_cached_after_it() {
        let cache = Cache::new(NonZeroUsize::MIN);
        let ticket = cache.ticket();
        cache.forget(&1);
        cache.put(ticket, 1, "old");
        assert_eq!(cache.get(&1), None);
        cache.put(cache.ticket(), 1, "new");
        assert_eq!(cache.get(&1), Some("new"));
    }
}
