//! The document in which a server publishes its keys (spec: server-server API, "Publishing Keys").
//! Pure.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName,
    api::federation::discovery::ServerSigningKeys,
    serde::Base64,
    signatures::{PublicKeyMap, verify_json},
};

/// Bytes of an Ed25519 key.
const KEY_BYTES: usize = 32;
/// A key that was shipped with many installations of one product (CVE-2026-24044): everybody can
/// sign with it.
const SHIPPED_KEY: &str = "l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og";
/// Keys of one document that are looked at, current ones first.
pub(crate) const KEYS_MAX: usize = 64;

/// A key as published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedKey {
    /// `ed25519:…`
    pub id: String,
    pub key: Vec<u8>,
    /// When the server stopped using it; `None`: it is in use.
    pub expired_ms: Option<u64>,
}

/// A document that its server signed.
#[derive(Clone, Debug)]
pub(crate) struct KeyDocument {
    pub keys: Vec<PublishedKey>,
    /// Until when the keys in use may be relied on, as the server says.
    pub valid_until_ms: u64,
    /// The document, as signed.
    pub json: CanonicalJsonObject,
}

impl KeyDocument {
    /// From JSON that claims to be `server`'s.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &str, server: &ServerName) -> Result<Self, String> {
        let json: CanonicalJsonObject =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let published: ServerSigningKeys =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        if published.server_name != server {
            return Err(format!("the keys are those of {}", published.server_name));
        }
        let is_ours = |id: &str, key: &Base64| {
            let is_secret = key.encode() != SHIPPED_KEY;
            id.starts_with("ed25519:") && key.as_bytes().len() == KEY_BYTES && is_secret
        };
        let current =
            published.verify_keys.iter().filter(|(id, key)| is_ours(id.as_str(), &key.key));
        let current = current.map(|(id, key)| PublishedKey {
            id: id.to_string(),
            key: key.key.as_bytes().to_vec(),
            expired_ms: None,
        });
        let old = published.old_verify_keys.iter().filter(|(id, key)| {
            is_ours(id.as_str(), &key.key) && !published.verify_keys.contains_key(*id)
        });
        let old = old.map(|(id, key)| PublishedKey {
            id: id.to_string(),
            key: key.key.as_bytes().to_vec(),
            expired_ms: Some(key.expired_ts.get().into()),
        });
        let keys: Vec<PublishedKey> = current.chain(old).take(KEYS_MAX).collect();
        let own = keys.iter().filter(|key| key.expired_ms.is_none());
        let own = own.map(|key| (key.id.clone(), Base64::new(key.key.clone()))).collect();
        verify_by(&json, server, own)?;
        Ok(Self { keys, valid_until_ms: published.valid_until_ts.get().into(), json })
    }
}

/// Checks what one server signed of an object that others may have signed, too.
///
/// # Errors
/// No signature of a known key, or one that is wrong.
pub(crate) fn verify_by(
    json: &CanonicalJsonObject,
    server: &ServerName,
    keys: std::collections::BTreeMap<String, Base64>,
) -> Result<(), String> {
    let signatures = json.get("signatures").and_then(CanonicalJsonValue::as_object);
    let own = signatures.and_then(|all| all.get(server.as_str()));
    let own = own.ok_or_else(|| format!("{server} did not sign"))?;
    let mut signed = json.clone();
    let only = CanonicalJsonObject::from([(server.to_string(), own.clone())]);
    signed.insert("signatures".to_owned(), CanonicalJsonValue::Object(only));
    let keys = PublicKeyMap::from([(server.to_string(), keys)]);
    verify_json(&keys, &signed).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use ruma::{
        server_name,
        signatures::{Ed25519KeyPair, sign_json},
    };
    use serde_json::json;

    use super::*;

    /// A fresh key of this version.
    pub(crate) fn pair(version: &str) -> Ed25519KeyPair {
        Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), version.to_owned()).expect("a key")
    }

    /// A document with this key, signed.
    pub(crate) fn document(name: &str, pair: &Ed25519KeyPair, valid_until_ms: u64) -> String {
        let key = Base64::<ruma::serde::base64::Standard, _>::new(pair.public_key().to_vec());
        let old = Base64::<ruma::serde::base64::Standard, _>::new(vec![7; 32]);
        let id = format!("ed25519:{}", pair.version());
        let json = json!({
            "server_name": name,
            "verify_keys": { id: { "key": key } },
            "old_verify_keys": { "ed25519:old": { "key": old, "expired_ts": 1_000 } },
            "valid_until_ts": valid_until_ms,
        });
        let mut json = serde_json::from_value(json).expect("an object");
        sign_json(name, pair, &mut json).expect("it can be signed");
        serde_json::to_string(&json).expect("JSON")
    }

    fn read(text: &str) -> Result<KeyDocument, String> {
        KeyDocument::read(text, server_name!("a.example"))
    }

    #[test]
    fn a_signed_document_tells_current_and_old_keys() {
        let read = read(&document("a.example", &pair("1"), 5_000)).expect("it is good");
        assert_eq!(read.valid_until_ms, 5_000);
        let ids: Vec<_> = read.keys.iter().map(|key| (&*key.id, key.expired_ms)).collect();
        assert_eq!(ids, [("ed25519:1", None), ("ed25519:old", Some(1_000))]);
    }

    #[test]
    fn a_document_of_another_server_is_refused() {
        assert!(read(&document("b.example", &pair("1"), 5_000)).is_err());
    }

    #[test]
    fn a_document_that_was_changed_is_refused() {
        let text = document("a.example", &pair("1"), 5_000);
        assert!(read(&text.replace("5000", "6000")).is_err());
    }

    #[test]
    fn a_document_without_its_servers_signature_is_refused() {
        let (first, second) = (pair("1"), pair("1"));
        let text = document("a.example", &first, 5_000);
        // Signed by a key that is not in it.
        let mut json: CanonicalJsonObject = serde_json::from_str(&text).expect("JSON");
        json.remove("signatures");
        let unsigned = serde_json::to_string(&json).expect("JSON");
        assert!(read(&unsigned).is_err());
        sign_json("a.example", &second, &mut json).expect("it can be signed");
        assert!(read(&serde_json::to_string(&json).expect("JSON")).is_err());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in ["", "null", "[]", "{}", "<html></html>", "{\"server_name\":\"a.example\"}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
