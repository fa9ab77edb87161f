//! Keys of another server as stored, and when they are valid.

use blaupause_data::row;
use ruma::serde::Base64;
use serde::{Deserialize, Serialize};

use super::document::{KEYS_MAX, KeyDocument};

/// However long a server says that its keys are good: so that one that was stolen does not stay
/// good for years (spec: "Publishing Keys", `valid_until_ts`).
const VALID_MAX_MS: u64 = 7 * 24 * 60 * 60_000;
/// A document that is larger is not kept for others.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

row! {
    /// Keys of another server, in its partition.
    pub ServerKeysRow: Usr b'K' Plain, () => ServerKeys
}

/// What is known of a server's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeys {
    /// Compared on load: two names could have one partition.
    pub server: String,
    pub keys: Vec<StoredKey>,
    /// The newest document as its server signed it, for those who ask us about that server.
    pub document: Option<String>,
    /// Until when the document is good, as its server says.
    pub document_until_ms: u64,
    /// When the server or a notary was last asked with success (milliseconds since the Unix epoch,
    /// as the others).
    pub fetched_ms: u64,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// `ed25519:…`
    pub id: String,
    pub key: Vec<u8>,
    /// Events up to this time may be signed with it.
    pub valid_until_ms: u64,
    /// No longer in use: requests are not signed with it.
    pub is_old: bool,
}

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The server itself, at the end of a TLS connection.
    ByItself,
    /// A server that the operator trusts for that.
    ByNotary,
}

impl ServerKeys {
    /// What is known after a document arrived.
    pub(crate) fn with(mut self, document: &KeyDocument, told: Told, now_ms: u64) -> Self {
        let until_ms = document.valid_until_ms.min(now_ms.saturating_add(VALID_MAX_MS));
        if told == Told::ByItself {
            // What the server no longer lists it no longer uses; events of then stay good.
            self.keys.iter_mut().for_each(|key| key.is_old = true);
        }
        for key in &document.keys {
            let new = StoredKey {
                id: key.id.clone(),
                key: key.key.clone(),
                valid_until_ms: key.expired_ms.unwrap_or(until_ms),
                is_old: key.expired_ms.is_some(),
            };
            match self.keys.iter_mut().find(|known| known.id == new.id) {
                None => self.keys.push(new),
                // A notary may be behind: it adds time, and never other keys.
                Some(known) if told == Told::ByNotary => {
                    if known.key == new.key && known.valid_until_ms < new.valid_until_ms {
                        *known = new;
                    }
                }
                Some(known) => *known = new,
            }
        }
        // The keys that were valid last are the ones that are asked for.
        self.keys.sort_by_key(|key| (key.is_old, std::cmp::Reverse(key.valid_until_ms)));
        self.keys.truncate(KEYS_MAX);
        let json = serde_json::to_string(&document.json).unwrap_or_default();
        let is_newer = document.valid_until_ms >= self.document_until_ms;
        if is_newer && (1..=DOCUMENT_BYTES_MAX).contains(&json.len()) {
            self.document = Some(json);
            self.document_until_ms = document.valid_until_ms;
        }
        self.fetched_ms = now_ms;
        self
    }

    /// The keys an event of this time may be signed with. Old room versions do not ask when.
    pub(crate) fn at(&self, event_ms: u64, is_enforced: bool) -> impl Iterator<Item = &StoredKey> {
        self.keys.iter().filter(move |key| !is_enforced || event_ms <= key.valid_until_ms)
    }

    /// Whether an event of this time, signed with this key, can be checked.
    pub(crate) fn has(&self, id: &str, event_ms: u64, is_enforced: bool) -> bool {
        self.at(event_ms, is_enforced).any(|key| key.id == id)
    }

    /// The keys that requests may be signed with now.
    pub(crate) fn in_use(&self, now_ms: u64) -> impl Iterator<Item = &StoredKey> {
        self.keys.iter().filter(move |key| !key.is_old && now_ms <= key.valid_until_ms)
    }

    /// Whether half of the time is over for which the keys in use are good: the moment to ask
    /// again before it is too late (spec: "GET /_matrix/key/v2/server").
    pub(crate) fn is_stale(&self, now_ms: u64) -> bool {
        let until = self.keys.iter().filter(|key| !key.is_old).map(|key| key.valid_until_ms).max();
        let until = until.unwrap_or_default();
        let half = until.saturating_sub(self.fetched_ms) / 2;
        now_ms >= self.fetched_ms.saturating_add(half)
    }
}

impl StoredKey {
    pub(crate) fn base64(&self) -> Base64 {
        Base64::new(self.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::{
        super::document::tests::{document, pair},
        *,
    };

    const DAY: u64 = 24 * 60 * 60_000;
    const NOW: u64 = 1_700_000_000_000;

    fn read(text: &str) -> KeyDocument {
        KeyDocument::read(text, server_name!("a.example")).expect("it is good")
    }

    fn ids<'a>(keys: impl Iterator<Item = &'a StoredKey>) -> Vec<&'a str> {
        keys.map(|key| &*key.id).collect()
    }

    #[test]
    fn no_key_is_good_for_longer_than_a_week() {
        let document = read(&document("a.example", &pair("1"), NOW + 1_000 * DAY));
        let keys = ServerKeys::default().with(&document, Told::ByItself, NOW);
        assert!(keys.has("ed25519:1", NOW + 7 * DAY, true));
        assert!(!keys.has("ed25519:1", NOW + 7 * DAY + 1, true));
        assert!(keys.has("ed25519:1", NOW + 700 * DAY, false), "old room versions do not ask");
    }

    #[test]
    fn an_old_key_is_good_for_events_of_its_time_and_for_no_request() {
        let document = read(&document("a.example", &pair("1"), NOW + DAY));
        let keys = ServerKeys::default().with(&document, Told::ByItself, NOW);
        assert!(keys.has("ed25519:old", 1_000, true));
        assert!(!keys.has("ed25519:old", 1_001, true));
        assert_eq!(ids(keys.in_use(NOW)), ["ed25519:1"]);
        assert_eq!(ids(keys.in_use(NOW + DAY + 1)), [""; 0]);
    }

    #[test]
    fn a_key_that_is_no_longer_listed_stays_good_for_events_of_its_time() {
        let first = read(&document("a.example", &pair("1"), NOW + DAY));
        let second = read(&document("a.example", &pair("2"), NOW + 3 * DAY));
        let keys = ServerKeys::default().with(&first, Told::ByItself, NOW);
        let keys = keys.with(&second, Told::ByItself, NOW + DAY);
        assert_eq!(ids(keys.in_use(NOW + DAY)), ["ed25519:2"]);
        assert!(keys.has("ed25519:1", NOW, true));
    }

    #[test]
    fn a_notary_adds_time_and_keys_and_changes_none() {
        let (ours, theirs) = (pair("1"), pair("1"));
        let known = read(&document("a.example", &ours, NOW + DAY));
        let keys = ServerKeys::default().with(&known, Told::ByItself, NOW);
        let wrong = read(&document("a.example", &theirs, NOW + 3 * DAY));
        let after = keys.clone().with(&wrong, Told::ByNotary, NOW);
        assert_eq!(after.keys, keys.keys);
        let longer = read(&document("a.example", &ours, NOW + 3 * DAY));
        let after = keys.with(&longer, Told::ByNotary, NOW);
        assert!(after.has("ed25519:1", NOW + 3 * DAY, true));
    }

    #[test]
    fn keys_are_asked_for_again_after_half_of_their_time() {
        let document = read(&document("a.example", &pair("1"), NOW + 2 * DAY));
        let keys = ServerKeys::default().with(&document, Told::ByItself, NOW);
        assert!(!keys.is_stale(NOW + DAY - 1));
        assert!(keys.is_stale(NOW + DAY));
        assert!(ServerKeys::default().is_stale(NOW));
    }
}
