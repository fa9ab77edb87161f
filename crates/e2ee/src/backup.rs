//! Key backup: encrypted room keys that a user stores with the server (spec: client-server API,
//! "Server-side key backups").

use std::collections::BTreeMap;

use blaupause_data::{Data, DataError, LIMITS, Order, ReadSet, Write};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::value::RawValue;

use crate::{
    E2ee, E2eeError,
    rows::{BackupKeyRow, BackupKeyValue, BackupVersionRow, BackupVersionValue},
};

/// Bytes of the `auth_data` of a version.
const AUTH_DATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one key's `session_data`.
const SESSION_DATA_BYTES_MAX: usize = 64 * 1024;
/// Keys in one request.
const KEYS_PER_REQUEST_MAX: usize = 2_000;
/// Keys in one batch, within the store's limits.
const BATCH_KEYS_MAX: usize = 400;
/// Bytes of keys in one batch, within the store's limits.
const BATCH_BYTES_MAX: usize = 700_000;
/// Attempts while another device of the user writes to the same backup.
const ATTEMPTS_MAX: usize = 32;

/// A backup version as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupVersion {
    pub version: String,
    pub algorithm: String,
    /// JSON object.
    pub auth_data: String,
    pub count: u64,
    pub etag: String,
}

/// Keys by room and session.
pub type BackupKeys = BTreeMap<OwnedRoomId, BTreeMap<String, BackupKeyValue>>;

/// What a backup holds after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeys {
    pub count: u64,
    pub etag: String,
}

struct Version {
    number: u64,
    row_version: u64,
    value: BackupVersionValue,
}

impl E2ee {
    /// Make a new version and return its number.
    ///
    /// # Errors
    /// The authentication data is too large, or the store failed.
    pub async fn create_backup(
        &self,
        user: &UserId,
        algorithm: &str,
        auth_data: &RawValue,
    ) -> Result<String, E2eeError> {
        let auth_data = checked_auth_data(auth_data)?;
        let part = self.data().parts().user(user);
        for _ in 0..ATTEMPTS_MAX {
            let number = self.newest(user, true).await?.map_or(0, |newest| newest.number) + 1;
            let value = BackupVersionValue {
                algorithm: algorithm.to_owned(),
                auth_data: auth_data.clone(),
                count: 0,
                etag: 0,
                deleted: false,
            };
            let mut write = Write::new(part);
            write.require_version::<BackupVersionRow>(part, &number, 0);
            write.put_version::<BackupVersionRow>(part, &number, 1, &value);
            if commit_or_retry(self.data(), write).await? {
                return Ok(number.to_string());
            }
        }
        Err(busy())
    }

    /// The newest version that is not deleted, or a given one.
    ///
    /// # Errors
    /// [`E2eeError::BackupUnknown`]; or the store failed.
    pub async fn backup(
        &self,
        user: &UserId,
        version: Option<&str>,
    ) -> Result<BackupVersion, E2eeError> {
        let found = match version {
            None => self.newest(user, false).await?,
            Some(version) => self.version(user, version).await?,
        };
        found.map(as_seen).ok_or(E2eeError::BackupUnknown)
    }

    /// Replace the authentication data of a version.
    ///
    /// # Errors
    /// Unknown version, another algorithm, or the store failed.
    pub async fn update_backup(
        &self,
        user: &UserId,
        version: &str,
        algorithm: &str,
        auth_data: &RawValue,
    ) -> Result<(), E2eeError> {
        let auth_data = checked_auth_data(auth_data)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut found = self.version(user, version).await?.ok_or(E2eeError::BackupUnknown)?;
            if found.value.algorithm != algorithm {
                return Err(E2eeError::BackupAlgorithm);
            }
            found.value.auth_data.clone_from(&auth_data);
            let write = self.replace(user, &found);
            if commit_or_retry(self.data(), write).await? {
                return Ok(());
            }
        }
        Err(busy())
    }

    /// Delete a version and its keys. Deleting a deleted one is no error.
    ///
    /// # Errors
    /// [`E2eeError::BackupUnknown`] if the number was never given; or the store failed.
    pub async fn delete_backup(&self, user: &UserId, version: &str) -> Result<(), E2eeError> {
        let number = version.parse().map_err(|_| E2eeError::BackupUnknown)?;
        let part = self.data().parts().user(user);
        let row = self.data().get::<BackupVersionRow>(part, &number).await?;
        let row = row.ok_or(E2eeError::BackupUnknown)?;
        let mut found = Version { number, row_version: row.version, value: row.value };
        found.value.deleted = true;
        found.value.count = 0;
        self.data().commit(self.replace(user, &found)).await?;
        self.delete_keys_of(user, number).await
    }

    pub(crate) async fn delete_all_backups(&self, user: &UserId) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let all = self.data().list::<BackupVersionRow>(part, &(), LIMITS.scan_rows_max).await?;
        for (number, _) in all.rows {
            self.delete_backup(user, &number.to_string()).await?;
        }
        Ok(())
    }

    /// Keys are many: remove them in batches, after the version is marked.
    async fn delete_keys_of(&self, user: &UserId, number: u64) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        loop {
            let page = self.data().list::<BackupKeyRow>(part, &number, 1_000).await?;
            if page.rows.is_empty() {
                return Ok(());
            }
            let mut write = Write::new(part);
            for (key, _) in page.rows {
                write.del::<BackupKeyRow>(part, &key);
            }
            self.data().commit(write).await?;
        }
    }

    /// Store keys; an existing key is only replaced by a better one (spec: "PUT
    /// /room_keys/keys": verified, then lower first index, then lower forwarded count).
    ///
    /// # Errors
    /// The version is not the newest, a key is too large, or the store failed.
    pub async fn put_backup_keys(
        &self,
        user: &UserId,
        version: &str,
        keys: &BackupKeys,
    ) -> Result<StoredKeys, E2eeError> {
        let flat: Vec<_> = keys
            .iter()
            .flat_map(|(room, sessions)| sessions.iter().map(move |(id, key)| (room, id, key)))
            .collect();
        if flat.len() > KEYS_PER_REQUEST_MAX {
            return Err(E2eeError::TooLarge("keys in one request"));
        }
        if flat.iter().any(|(_, _, key)| key.session_data.len() > SESSION_DATA_BYTES_MAX) {
            return Err(E2eeError::TooLarge("session data"));
        }
        let mut stored = None;
        let mut rest = flat.as_slice();
        while !rest.is_empty() || stored.is_none() {
            let mut bytes = 0;
            let fits = rest.iter().take(BATCH_KEYS_MAX).take_while(|(_, _, key)| {
                bytes += key.session_data.len() + 300;
                bytes <= BATCH_BYTES_MAX
            });
            let (now, later) = rest.split_at(fits.count());
            stored = Some(self.put_some(user, version, now).await?);
            rest = later;
        }
        stored.ok_or(E2eeError::BackupUnknown)
    }

    async fn put_some(
        &self,
        user: &UserId,
        version: &str,
        keys: &[(&OwnedRoomId, &String, &BackupKeyValue)],
    ) -> Result<StoredKeys, E2eeError> {
        let part = self.data().parts().user(user);
        for _ in 0..ATTEMPTS_MAX {
            let mut found = self.writable(user, version).await?;
            let names: Vec<_> = keys
                .iter()
                .map(|(room, id, _)| (found.number, room.to_string(), (*id).clone()))
                .collect();
            let old =
                self.data().get_many::<BackupKeyRow>(names.iter().map(|name| (part, name))).await?;
            let mut puts = Vec::new();
            for ((name, old), (_, _, new)) in names.iter().zip(old).zip(keys) {
                match old {
                    Some(old) if !is_better(new, &old) => continue,
                    Some(_) => {}
                    None => found.value.count += 1,
                }
                puts.push((name, *new));
            }
            if !puts.is_empty() {
                found.value.etag += 1;
                let mut write = self.replace(user, &found);
                for (name, key) in puts {
                    write.put::<BackupKeyRow>(part, name, key);
                }
                if !commit_or_retry(self.data(), write).await? {
                    continue;
                }
            }
            return Ok(stored(&found.value));
        }
        Err(busy())
    }

    /// Keys of a version, of one room or one session of it if given.
    ///
    /// # Errors
    /// Unknown version, or the store failed.
    pub async fn backup_keys(
        &self,
        user: &UserId,
        version: &str,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<BackupKeys, E2eeError> {
        let number = self.version(user, version).await?.ok_or(E2eeError::BackupUnknown)?.number;
        let rows = self.key_rows(user, number, room, session).await?;
        let mut keys = BackupKeys::new();
        for ((_, room, session), key) in rows {
            if let Ok(room) = OwnedRoomId::try_from(room) {
                keys.entry(room).or_default().insert(session, key);
            }
        }
        Ok(keys)
    }

    /// Delete keys of a version, of one room or one session of it if given.
    ///
    /// # Errors
    /// Unknown version, or the store failed.
    pub async fn delete_backup_keys(
        &self,
        user: &UserId,
        version: &str,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<StoredKeys, E2eeError> {
        let part = self.data().parts().user(user);
        for _ in 0..ATTEMPTS_MAX {
            let mut found = self.version(user, version).await?.ok_or(E2eeError::BackupUnknown)?;
            let mut rows = self.key_rows(user, found.number, room, session).await?;
            let more = rows.len() > BATCH_KEYS_MAX;
            rows.truncate(BATCH_KEYS_MAX);
            if rows.is_empty() {
                return Ok(stored(&found.value));
            }
            found.value.count = found.value.count.saturating_sub(rows.len() as u64);
            found.value.etag += 1;
            let mut write = self.replace(user, &found);
            for (key, _) in rows {
                write.del::<BackupKeyRow>(part, &key);
            }
            if commit_or_retry(self.data(), write).await? && !more {
                return Ok(stored(&found.value));
            }
        }
        Err(busy())
    }

    async fn key_rows(
        &self,
        user: &UserId,
        number: u64,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<Vec<((u64, String, String), BackupKeyValue)>, E2eeError> {
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let (order, limit) = (Order::Forward, LIMITS.scan_rows_max);
        let rows = match (room, session) {
            (Some(room), Some(session)) => {
                let prefix = (number, room.to_string(), session.to_owned());
                want.prefix::<BackupKeyRow>(part, &prefix, order, limit)
            }
            (Some(room), None) => {
                want.prefix::<BackupKeyRow>(part, &(number, room.to_string()), order, limit)
            }
            (None, _) => want.prefix::<BackupKeyRow>(part, &number, order, limit),
        };
        let rows = want.run(self.data()).await?.many(rows)?.rows;
        Ok(rows.into_iter().map(|(key, row)| (key, row.value)).collect())
    }

    /// Only the newest version is written to.
    async fn writable(&self, user: &UserId, version: &str) -> Result<Version, E2eeError> {
        let newest = self.newest(user, false).await?.ok_or(E2eeError::BackupUnknown)?;
        if newest.number.to_string() == version {
            return Ok(newest);
        }
        if self.version(user, version).await?.is_none() {
            return Err(E2eeError::BackupUnknown);
        }
        Err(E2eeError::BackupOutdated { current: newest.number.to_string() })
    }

    async fn newest(&self, user: &UserId, deleted: bool) -> Result<Option<Version>, E2eeError> {
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let limit = if deleted { 1 } else { LIMITS.scan_rows_max };
        let rows = want.prefix::<BackupVersionRow>(part, &(), Order::Backward, limit);
        let rows = want.run(self.data()).await?.many(rows)?.rows;
        Ok(rows.into_iter().find(|(_, row)| deleted || !row.deleted).map(|(number, row)| Version {
            number,
            row_version: row.version,
            value: row.value,
        }))
    }

    async fn version(&self, user: &UserId, version: &str) -> Result<Option<Version>, E2eeError> {
        let Ok(number) = version.parse() else { return Ok(None) };
        let part = self.data().parts().user(user);
        let row = self.data().get::<BackupVersionRow>(part, &number).await?;
        Ok(row.filter(|row| !row.deleted).map(|row| Version {
            number,
            row_version: row.version,
            value: row.value,
        }))
    }

    /// A batch that writes a changed version row.
    fn replace(&self, user: &UserId, version: &Version) -> Write {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        let (key, is) = (&version.number, version.row_version);
        write.require_version::<BackupVersionRow>(part, key, is);
        write.put_version::<BackupVersionRow>(part, key, is + 1, &version.value);
        write
    }
}

fn checked_auth_data(auth_data: &RawValue) -> Result<String, E2eeError> {
    if auth_data.get().len() > AUTH_DATA_BYTES_MAX {
        return Err(E2eeError::TooLarge("auth_data"));
    }
    if !auth_data.get().trim_start().starts_with('{') {
        return Err(E2eeError::InvalidKeys("auth_data must be an object".into()));
    }
    Ok(auth_data.get().to_owned())
}

fn is_better(new: &BackupKeyValue, old: &BackupKeyValue) -> bool {
    let rank =
        |key: &BackupKeyValue| (!key.is_verified, key.first_message_index, key.forwarded_count);
    rank(new) < rank(old)
}

fn stored(value: &BackupVersionValue) -> StoredKeys {
    StoredKeys { count: value.count, etag: value.etag.to_string() }
}

fn as_seen(version: Version) -> BackupVersion {
    let Version { number, value, .. } = version;
    BackupVersion {
        version: number.to_string(),
        algorithm: value.algorithm,
        auth_data: value.auth_data,
        count: value.count,
        etag: value.etag.to_string(),
    }
}

/// `false` if somebody else was faster and the caller should look again.
async fn commit_or_retry(data: &Data, write: Write) -> Result<bool, E2eeError> {
    match data.commit(write).await {
        Ok(_) => Ok(true),
        Err(DataError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn busy() -> E2eeError {
    DataError::Unavailable("the backup is being written by many devices at once".into()).into()
}
