//! This server's signing keys: the one in use and those before it.

use std::{fmt, sync::Arc};

use blaupause_store::{Db, Part, Store};
use ruma::{ServerName, signatures::Ed25519KeyPair};

use crate::{
    Data, DataError, Env, Order, ReadSet, Write,
    open::SLOT,
    row::decode,
    rows::{Installation, InstallationRow, OldKey, OldKeyRow},
};

/// Keys that were once in use and are remembered; a rotation each year fills it in centuries.
const OLD_KEYS_MAX: u32 = 1_000;

/// This server's Ed25519 key.
#[derive(Clone)]
pub struct SigningKey(pub(crate) Arc<Ed25519KeyPair>);

impl SigningKey {
    /// For signing events and requests.
    pub fn pair(&self) -> &Ed25519KeyPair {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(ed25519:{})", self.0.version())
    }
}

/// A key that this server no longer signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSigningKey {
    /// The key id is `ed25519:<version>`.
    pub version: String,
    /// 32 bytes.
    pub public_key: Vec<u8>,
    /// When it was replaced (milliseconds since the Unix epoch).
    pub expired_ms: u64,
}

pub(crate) fn pair(installation: &Installation) -> Result<Ed25519KeyPair, DataError> {
    let version = installation.signing_key_version.clone();
    Ed25519KeyPair::from_der(&installation.signing_key, version)
        .map_err(|_| DataError::Damaged("meta/s: signing key".into()))
}

/// The name of a new key. Versions are `[a-zA-Z0-9_]` (spec: appendices, "Signing key").
pub(crate) fn new_version(env: &Env) -> String {
    let hex: String = env.random::<4>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("a_{hex}")
}

pub(crate) async fn old_keys(db: &Db) -> Result<Vec<OldSigningKey>, DataError> {
    let part = Part::slot(SLOT);
    let rows = ReadSet::all_of::<OldKeyRow>(db, part, Order::Forward, OLD_KEYS_MAX).await?;
    let old = |(version, key): (String, OldKey)| OldSigningKey {
        version,
        public_key: key.public_key,
        expired_ms: key.expired_ms,
    };
    Ok(rows.into_iter().map(old).collect())
}

impl Data {
    /// Replace the signing key of a store that no server uses at the moment. The old one stays
    /// published, so that what was signed with it can be checked. The id of the new key.
    ///
    /// # Errors
    /// The store cannot be read or written, is new, or belongs to another server.
    pub async fn rotate_signing_key(
        db: &Db,
        server_name: &ServerName,
        env: &Env,
    ) -> Result<String, DataError> {
        let part = Part::slot(SLOT);
        let found = ReadSet::single::<InstallationRow>(db, part, &()).await?;
        let found = found.map(|found| decode::<InstallationRow>(&found)).transpose()?;
        let before = found.filter(|found| found.server_name == server_name.as_str());
        let Some(before) = before.map(|found| found.value) else {
            let why = format!("the store does not hold the data of {server_name}");
            return Err(DataError::Unavailable(why));
        };
        let old = pair(&before)?;
        let old_key =
            OldKey { public_key: old.public_key().to_vec(), expired_ms: env.now_millis() };
        let signing_key_version = new_version(env);
        let after = Installation {
            signing_key: Ed25519KeyPair::generate().to_vec(),
            signing_key_version: signing_key_version.clone(),
            ..before
        };
        let mut write = Write::new(part);
        write.put::<OldKeyRow>(part, &old.version().to_owned(), &old_key);
        write.put::<InstallationRow>(part, &(), &after);
        db.submit(write.into_batch()).await?;
        Ok(format!("ed25519:{signing_key_version}"))
    }
}

#[cfg(test)]
mod tests {
    use blaupause_store::MemStore;
    use ruma::server_name;

    use super::*;

    #[tokio::test]
    async fn a_replaced_key_stays_known_with_its_end() {
        let (store, name) = (MemStore::new(), server_name!("example.org"));
        let env = Env::manual(5_000);
        let before = Data::open(Db::Mem(store.clone()), name, env.clone()).await;
        let before = before.expect("a new store");
        assert_eq!(before.old_signing_keys(), []);
        let db = Db::Mem(store.copy());
        let id = Data::rotate_signing_key(&db, name, &env).await.expect("it is ours");
        let after = Data::open(db.clone(), name, env.clone()).await.expect("the same store");
        let pair = |data: &Data| {
            let pair = data.signing_key().pair();
            (pair.version().to_owned(), pair.public_key().to_vec())
        };
        assert_eq!(format!("ed25519:{}", pair(&after).0), id);
        let (version, public_key) = pair(&before);
        assert_eq!(
            after.old_signing_keys(),
            [OldSigningKey { version, public_key, expired_ms: 5_000 }]
        );
        let other = Data::rotate_signing_key(&db, server_name!("other.example"), &env).await;
        assert!(other.is_err());
    }
}
