//! What policy servers said not long ago, in memory.

use std::num::NonZeroUsize;

use blaupause_graph::{Pdu, PolicyServer};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{EventId, OwnedEventId};

/// Answers about events of others that are kept (an event each, up to 64 kB).
const WORDS_MAX: NonZeroUsize = NonZeroUsize::new(200).expect("not zero");
/// Signed events of ours that wait to be said.
const DRAFTS_MAX: NonZeroUsize = NonZeroUsize::new(200).expect("not zero");
/// How long an answer counts, and how old an event of ours may be when it is said, in milliseconds.
const KEPT_MS: u64 = 60_000;

/// What a policy server said of an event.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// The event with its signature.
    Signed(Box<Pdu>),
    /// Not recommended, and why: also when it could not be asked.
    No(String),
}

struct Kept<T> {
    what: T,
    by: PolicyServer,
    until_ms: u64,
}

/// What was said.
pub(crate) struct Words {
    words: Mutex<LruCache<OwnedEventId, Kept<Word>>>,
    drafts: Mutex<LruCache<[u8; 16], (Pdu, u64)>>,
}

impl Default for Words {
    fn default() -> Self {
        let words = Mutex::new(LruCache::new(WORDS_MAX));
        Self { words, drafts: Mutex::new(LruCache::new(DRAFTS_MAX)) }
    }
}

impl Words {
    /// What this policy server said of an event.
    pub(super) fn of(&self, event: &EventId, by: &PolicyServer, now_ms: u64) -> Option<Word> {
        let mut words = self.words.lock();
        let kept = words.get(event)?;
        (kept.by == *by && now_ms < kept.until_ms).then(|| kept.what.clone())
    }

    pub(super) fn note(&self, event: &EventId, by: PolicyServer, what: Word, now_ms: u64) {
        let kept = Kept { what, by, until_ms: now_ms + KEPT_MS };
        self.words.lock().put(event.to_owned(), kept);
    }

    pub(super) fn note_draft(&self, draft: [u8; 16], signed: Pdu, now_ms: u64) {
        self.drafts.lock().put(draft, (signed, now_ms + KEPT_MS));
    }

    /// The signed event for a draft, once.
    pub(super) fn take_draft(&self, draft: &[u8; 16], now_ms: u64) -> Option<Pdu> {
        let (signed, until_ms) = self.drafts.lock().pop(draft)?;
        (now_ms < until_ms).then_some(signed)
    }
}
