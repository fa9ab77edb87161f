//! The keys of a backup.

use blaupause_data::Write;
use ruma::{OwnedRoomId, RoomId, UserId};

use super::{ATTEMPTS_MAX, BackupKeys, StoredKeys, busy, commit_or_retry, stored};
use crate::{
    E2ee, E2eeError,
    rows::{BackupKeyRow, BackupKeyValue},
};

/// Bytes of one key's `session_data`.
const SESSION_DATA_BYTES_MAX: usize = 64 * 1024;
/// Keys in one request.
const KEYS_PER_REQUEST_MAX: usize = 2_000;
/// Keys in one batch, within the store's limits.
const BATCH_KEYS_MAX: usize = 400;
/// Bytes of keys in one batch, within the store's limits.
const BATCH_BYTES_MAX: usize = 700_000;
/// Keys of one version that are handed out or counted.
const KEYS_MAX: u32 = 1_000_000;

impl E2ee {
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
        let rows = self.key_rows(user, number, room, session, KEYS_MAX).await?;
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
        let mut attempts = 0;
        // A batch at a time: each makes the backup smaller.
        while attempts < ATTEMPTS_MAX {
            let mut found = self.version(user, version).await?.ok_or(E2eeError::BackupUnknown)?;
            let limit = BATCH_KEYS_MAX as u32 + 1;
            let mut rows = self.key_rows(user, found.number, room, session, limit).await?;
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
            match commit_or_retry(self.data(), write).await? {
                true if !more => return Ok(stored(&found.value)),
                true => {}
                false => attempts += 1,
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
        limit: u32,
    ) -> Result<Vec<((u64, String, String), BackupKeyValue)>, E2eeError> {
        let (data, room) = (self.data(), room.map(ToString::to_string));
        let part = data.parts().user(user);
        let rows = match (room, session) {
            (Some(room), Some(session)) => {
                let prefix = (number, room, session.to_owned());
                data.list_all::<BackupKeyRow>(part, &prefix, limit).await?.rows
            }
            (Some(room), None) => {
                data.list_all::<BackupKeyRow>(part, &(number, room), limit).await?.rows
            }
            (None, _) => data.list_all::<BackupKeyRow>(part, &number, limit).await?.rows,
        };
        Ok(rows.into_iter().map(|(key, row)| (key, row.value)).collect())
    }

    /// Keys are many: remove them in batches, after the version is marked.
    pub(super) async fn delete_keys_of(&self, user: &UserId, number: u64) -> Result<(), E2eeError> {
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
}

fn is_better(new: &BackupKeyValue, old: &BackupKeyValue) -> bool {
    let rank =
        |key: &BackupKeyValue| (!key.is_verified, key.first_message_index, key.forwarded_count);
    rank(new) < rank(old)
}
