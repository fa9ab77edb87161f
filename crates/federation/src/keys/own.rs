//! What this server publishes about its keys.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, serde::Base64, serde::base64::Standard,
    signatures::sign_json,
};

use super::stored::{ServerKeys, StoredKey};
use crate::Federation;

/// How long others may rely on our keys without asking again. A key that was replaced because it
/// was stolen is believed for so long.
const VALID_MS: u64 = 24 * 60 * 60_000;

impl Federation {
    /// This server's keys, as those of another.
    pub(super) fn own_keys(&self) -> ServerKeys {
        let pair = self.data().signing_key().pair();
        let current = StoredKey {
            id: format!("ed25519:{}", pair.version()),
            key: pair.public_key().to_vec(),
            valid_until_ms: u64::MAX,
            is_old: false,
        };
        let old = self.data().old_signing_keys().iter().map(|old| StoredKey {
            id: format!("ed25519:{}", old.version),
            key: old.public_key.clone(),
            valid_until_ms: old.expired_ms,
            is_old: true,
        });
        let keys = std::iter::once(current).chain(old).collect();
        ServerKeys { server: self.data().server_name().to_string(), keys, ..Default::default() }
    }

    /// The signed document at `/_matrix/key/v2/server`.
    pub fn own_key_document(&self) -> CanonicalJsonObject {
        let (mut current, mut old) = (CanonicalJsonObject::new(), CanonicalJsonObject::new());
        for key in self.own_keys().keys {
            let text = Base64::<Standard, _>::new(key.key).encode();
            let mut entry = CanonicalJsonObject::from([("key".to_owned(), text.into())]);
            if key.is_old {
                entry.insert("expired_ts".to_owned(), time(key.valid_until_ms));
                old.insert(key.id, entry.into());
            } else {
                current.insert(key.id, entry.into());
            }
        }
        let name = self.data().server_name();
        let until_ms = self.data().env().now_millis().saturating_add(VALID_MS);
        self.signed(CanonicalJsonObject::from([
            ("server_name".to_owned(), name.as_str().into()),
            ("verify_keys".to_owned(), current.into()),
            ("old_verify_keys".to_owned(), old.into()),
            ("valid_until_ts".to_owned(), time(until_ms)),
        ]))
    }

    /// The object with this server's signature beside those that it has.
    pub(crate) fn signed(&self, mut object: CanonicalJsonObject) -> CanonicalJsonObject {
        let name = self.data().server_name().as_str();
        let signed = sign_json(name, self.data().signing_key().pair(), &mut object);
        // It fails where `signatures` is no object, which what we sign was checked for.
        if let Err(error) = signed {
            tracing::warn!(%error, "a document cannot be signed");
        }
        object
    }
}

fn time(ms: u64) -> CanonicalJsonValue {
    CanonicalJsonValue::Integer(ruma::Int::new_saturating(ms.try_into().unwrap_or(i64::MAX)))
}
