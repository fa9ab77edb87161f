//! Who did not answer lately, and when they are asked again. In memory.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};

use crate::Pauses;

/// Servers in a pause that are remembered; the ones that were longest not asked are forgotten
/// first, and asked again.
const PEERS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not 0");
/// Failures in a row that have no consequence: a restart of the other server, a lost packet.
const FREE_FAILURES: u32 = 2;
/// No pause is longer than this, whatever the settings say: people who wait for somebody on that
/// server are told at once meanwhile that nothing comes of it.
const PAUSE_MAX_MS: u64 = 10 * 60_000;

/// Failures of one server in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    failures: u32,
    until_ms: u64,
}

/// Servers that did not answer.
pub(crate) struct Peers {
    silent: Mutex<LruCache<OwnedServerName, Silence>>,
    pauses: Pauses,
}

impl Peers {
    pub(crate) fn new(pauses: Pauses) -> Self {
        Self { silent: Mutex::new(LruCache::new(PEERS_MAX)), pauses }
    }

    /// Until when a server is not asked; `None`: it may be.
    pub(crate) fn paused_until(&self, server: &ServerName, now_ms: u64) -> Option<u64> {
        let silence = self.silent.lock().peek(server).copied()?;
        (silence.until_ms > now_ms).then_some(silence.until_ms)
    }

    /// It answered, or asked us something.
    pub(crate) fn heard_from(&self, server: &ServerName) {
        self.silent.lock().pop(server);
    }

    /// It did not answer.
    pub(crate) fn failed(&self, server: &ServerName, now_ms: u64) {
        let mut peers = self.silent.lock();
        let silence = peers.get_or_insert_mut(server.to_owned(), Silence::default);
        silence.failures = silence.failures.saturating_add(1);
        let Some(doublings) = silence.failures.checked_sub(FREE_FAILURES + 1) else { return };
        let pause = self.pauses.min_ms().saturating_mul(1 << doublings.min(30));
        let pause = pause.min(self.pauses.max_ms()).min(PAUSE_MAX_MS);
        silence.until_ms = now_ms.saturating_add(pause);
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn who_does_not_answer_is_left_alone_for_longer_each_time() {
        let (peers, server) = (Peers::new(Pauses::default()), server_name!("a.example"));
        let mut pauses = Vec::new();
        for _ in 0..100 {
            peers.failed(server, 1_000);
            pauses.push(peers.paused_until(server, 1_000).map(|until| until - 1_000));
        }
        assert_eq!(pauses[..4], [None, None, Some(5_000), Some(10_000)]);
        assert_eq!(pauses[99], Some(PAUSE_MAX_MS));
        assert_eq!(peers.paused_until(server, 1_000 + PAUSE_MAX_MS), None);
        peers.heard_from(server);
        assert_eq!(peers.paused_until(server, 1_000), None);
    }
}
