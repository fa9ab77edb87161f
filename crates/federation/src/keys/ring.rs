//! What the key ring keeps in memory.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use tokio::sync::{Semaphore, watch};

use super::stored::ServerKeys;

/// Servers whose keys are in memory (some 300 bytes each).
const SERVERS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not 0");
/// Servers that are asked for their keys at once; the others wait.
const FETCHES_MAX: usize = 32;
/// A server is asked for its keys once in this time, however many claim to be it …
const PAUSE_MIN_MS: u64 = 60_000;
/// … and after failures in a row less often, up to this.
const PAUSE_MAX_MS: u64 = 10 * 60_000;

/// Keys of other servers.
pub(crate) struct KeyRing {
    known: Mutex<LruCache<OwnedServerName, Arc<ServerKeys>>>,
    asked: Mutex<LruCache<OwnedServerName, Asked>>,
    flights: Mutex<HashMap<OwnedServerName, watch::Receiver<()>>>,
    pub(crate) turns: Arc<Semaphore>,
}

/// When a server was last asked.
#[derive(Clone, Copy, Default)]
struct Asked {
    at_ms: u64,
    failures: u32,
}

impl Default for KeyRing {
    fn default() -> Self {
        Self {
            known: Mutex::new(LruCache::new(SERVERS_MAX)),
            asked: Mutex::new(LruCache::new(SERVERS_MAX)),
            flights: Mutex::default(),
            turns: Arc::new(Semaphore::new(FETCHES_MAX)),
        }
    }
}

/// What to do about a server whose keys are wanted.
pub(crate) enum Fetch {
    /// It was asked a moment ago.
    NotNow,
    /// Somebody asks it already: until the channel closes.
    Wait(watch::Receiver<()>),
    /// The caller asks it. The channel closes when the sender is dropped.
    Ask(Landing),
}

/// Ends a fetch, whatever becomes of it.
pub(crate) struct Landing {
    _open: watch::Sender<()>,
}

impl KeyRing {
    /// The keys that are in memory, and whose are not.
    pub(crate) fn known<'a>(
        &self,
        servers: impl Iterator<Item = &'a ServerName>,
    ) -> (BTreeMap<OwnedServerName, Arc<ServerKeys>>, Vec<OwnedServerName>) {
        let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
        let mut known = self.known.lock();
        for server in servers {
            match known.get(server) {
                Some(keys) => drop(found.insert(server.to_owned(), Arc::clone(keys))),
                None => missing.push(server.to_owned()),
            }
        }
        (found, missing)
    }

    pub(crate) fn remember(&self, server: &ServerName, keys: Arc<ServerKeys>) {
        self.known.lock().put(server.to_owned(), keys);
    }

    /// Whether to ask a server now.
    pub(crate) fn begin(&self, server: &ServerName, now_ms: u64) -> Fetch {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(server) {
            // Closed and still there: the task ended without saying so.
            if flight.has_changed().is_ok() {
                return Fetch::Wait(flight.clone());
            }
            flights.remove(server);
        }
        let mut all_asked = self.asked.lock();
        let asked = all_asked.get_or_insert_mut(server.to_owned(), Asked::default);
        let pause = PAUSE_MIN_MS << asked.failures.saturating_sub(1).min(8);
        if asked.at_ms > 0 && now_ms < asked.at_ms.saturating_add(pause.min(PAUSE_MAX_MS)) {
            return Fetch::NotNow;
        }
        asked.at_ms = now_ms;
        let (open, flight) = watch::channel(());
        flights.insert(server.to_owned(), flight);
        Fetch::Ask(Landing { _open: open })
    }

    /// A server answered, or it did not.
    pub(crate) fn end(&self, server: &ServerName, is_answered: bool) {
        let mut all_asked = self.asked.lock();
        let asked = all_asked.get_or_insert_mut(server.to_owned(), Asked::default);
        asked.failures = if is_answered { 0 } else { asked.failures.saturating_add(1) };
        drop(all_asked);
        self.flights.lock().remove(server);
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn a_server_is_asked_by_one_and_not_again_at_once() {
        let (ring, server) = (KeyRing::default(), server_name!("a.example"));
        let Fetch::Ask(landing) = ring.begin(server, 1_000) else { panic!("nobody asked yet") };
        let Fetch::Wait(waiting) = ring.begin(server, 1_000) else { panic!("it is being asked") };
        drop(landing);
        assert!(waiting.has_changed().is_err(), "who waits is told");
        ring.end(server, true);
        assert!(matches!(ring.begin(server, 60_999), Fetch::NotNow));
        assert!(matches!(ring.begin(server, 61_000), Fetch::Ask(_)));
    }

    #[test]
    fn a_server_that_does_not_answer_is_asked_less_and_less() {
        let (ring, server) = (KeyRing::default(), server_name!("a.example"));
        let mut now = 1_000;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let begun = now;
            while !matches!(ring.begin(server, now), Fetch::Ask(_)) {
                now += 60_000;
            }
            pauses.push((now - begun) / 60_000);
            ring.end(server, false);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 10, 10, 10]);
    }
}
