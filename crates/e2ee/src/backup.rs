//! Key backup: encrypted room keys that a user stores with the server (spec: client-server API,
//! "Server-side key backups").

mod keys;

use std::{collections::BTreeMap, ops::Bound};

use blaupause_data::{Data, DataError, Order, ReadSet, Write};
use ruma::{OwnedRoomId, UserId};
use serde_json::value::RawValue;

use crate::{
    E2ee, E2eeError,
    rows::{BackupKeyValue, BackupVersionRow, BackupVersionValue},
};

/// Bytes of the `auth_data` of a version.
const AUTH_DATA_BYTES_MAX: usize = 64 * 1024;
/// Versions that a user may have at once. Clients delete the old one when they make a new one.
const VERSIONS_MAX: u32 = 50;
/// Versions that are read at once to find the newest one.
const VERSIONS_STEP: u32 = 4;
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
    /// The authentication data is too large, there are too many versions, or the store failed.
    pub async fn create_backup(
        &self,
        user: &UserId,
        algorithm: &str,
        auth_data: &RawValue,
    ) -> Result<String, E2eeError> {
        let auth_data = checked_auth_data(auth_data)?;
        let part = self.data().parts().user(user);
        for _ in 0..ATTEMPTS_MAX {
            // The live ones, and the newest if it was deleted.
            let all = self.data().list::<BackupVersionRow>(part, &(), VERSIONS_MAX + 1).await?.rows;
            if all.iter().filter(|(_, row)| !row.deleted).count() >= VERSIONS_MAX as usize {
                return Err(E2eeError::TooManyBackups);
            }
            let newest = all.last();
            let number = newest.map_or(0, |(number, _)| *number) + 1;
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
            if let Some((gone, _)) = newest.filter(|(_, row)| row.deleted) {
                // Only the newest number has to be remembered.
                write.del::<BackupVersionRow>(part, gone);
            }
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
        let number: u64 = version.parse().map_err(|_| E2eeError::BackupUnknown)?;
        let part = self.data().parts().user(user);
        let newest = self.newest(user, true).await?.ok_or(E2eeError::BackupUnknown)?;
        let is_newest = newest.number == number;
        let row = self.data().get::<BackupVersionRow>(part, &number).await?;
        let Some(row) = row else {
            let was_given = (1..newest.number).contains(&number);
            return if was_given { Ok(()) } else { Err(E2eeError::BackupUnknown) };
        };
        let mut found = Version { number, row_version: row.version, value: row.value };
        found.value.deleted = true;
        found.value.count = 0;
        let write = if is_newest {
            // Its row says which numbers were given.
            self.replace(user, &found)
        } else {
            let mut write = Write::new(part);
            write.require_version::<BackupVersionRow>(part, &number, found.row_version);
            write.del::<BackupVersionRow>(part, &number);
            write
        };
        self.data().commit(write).await?;
        self.delete_keys_of(user, number).await
    }

    pub(crate) async fn delete_all_backups(&self, user: &UserId) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let all = self.data().list_all::<BackupVersionRow>(part, &(), u32::MAX).await?;
        for (number, _) in all.rows {
            self.delete_backup(user, &number.to_string()).await?;
        }
        Ok(())
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
        let mut below: Option<u64> = None;
        loop {
            let mut want = ReadSet::new();
            let end = below.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let (start, order) = (Bound::<&u64>::Unbounded, Order::Backward);
            let rows = want.range::<BackupVersionRow>(part, start, end, order, VERSIONS_STEP);
            let page = want.run(self.data()).await?.many(rows)?;
            below = page.rows.last().map(|(number, _)| *number).filter(|_| page.more);
            let found = page.rows.into_iter().find(|(_, row)| deleted || !row.deleted);
            if let Some((number, row)) = found {
                return Ok(Some(Version { number, row_version: row.version, value: row.value }));
            }
            if below.is_none() {
                return Ok(None);
            }
        }
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
