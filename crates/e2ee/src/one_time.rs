//! One-time and fallback keys: uploaded in stock, each handed out once (spec: client-server API,
//! "One-time and fallback keys").

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use blaupause_data::{Change, DataError, NOW, Order, ReadSet, Write, try_together};
use ruma::{
    DeviceId, OneTimeKeyId, OwnedDeviceId, OwnedUserId, UserId,
    encryption::{DeviceKeys, OneTimeKey},
    serde::Raw,
};

use crate::{
    E2ee, E2eeError,
    rows::{FallbackKey, FallbackKeyRow, OneTimeKeyRow, OneTimeKeyValue},
    signatures::check_key_shape,
};

/// One-time keys that a device may have in stock, per algorithm (as Synapse since 1.163).
const ONE_TIME_KEYS_MAX: usize = 500;
/// One-time keys that a device may have in stock, of all algorithms.
const ALL_KEYS_MAX: u32 = 2_000;
/// Bytes of one key.
const KEY_BYTES_MAX: usize = 4 * 1024;
/// Fallback keys in one request: one per algorithm.
const FALLBACK_KEYS_MAX: usize = 20;
/// Attempts to claim a key while others claim the same device's keys.
const CLAIM_ATTEMPTS_MAX: usize = 16;

/// Devices whose keys are claimed side by side.
const CLAIMS_AT_ONCE: usize = 500;

/// How many keys a device has in stock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Unclaimed one-time keys by algorithm.
    pub one_time: BTreeMap<String, u64>,
    /// Algorithms whose fallback key was not used yet.
    pub unused_fallback: Vec<String>,
}

/// What `POST /keys/upload` brings.
pub(crate) type Uploaded<'a> = BTreeMap<&'a OneTimeKeyId, &'a Raw<OneTimeKey>>;

impl E2ee {
    /// Take what a device publishes (`POST /keys/upload`) and say how many one-time keys it has.
    ///
    /// # Errors
    /// A key has a wrong shape, differs from one with the same id, or there are too many.
    pub async fn upload_keys<'a>(
        &self,
        user: &UserId,
        device: &DeviceId,
        device_keys: Option<&Raw<DeviceKeys>>,
        one_time: impl IntoIterator<Item = (&'a OneTimeKeyId, &'a Raw<OneTimeKey>)>,
        fallback: impl IntoIterator<Item = (&'a OneTimeKeyId, &'a Raw<OneTimeKey>)>,
    ) -> Result<Arc<KeyCounts>, E2eeError> {
        let (one_time, fallback): (Uploaded<'_>, Uploaded<'_>) =
            (one_time.into_iter().collect(), fallback.into_iter().collect());
        let mut write = Write::new(self.data().parts().user(user));
        if let Some(keys) = device_keys
            && self.put_device_keys(&mut write, user, device, keys).await?
        {
            self.note_devices_changed(&mut write, user).await?;
        }
        let mut stock = self.put_one_time_keys(&mut write, user, device, &one_time).await?;
        stock |= self.put_fallback_keys(&mut write, user, device, &fallback).await?;
        if stock {
            self.note_key_counts_changed(&mut write, user, device);
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        self.key_counts(user, device).await
    }

    /// Say in a batch that a device's stock of keys changed.
    pub(crate) fn note_key_counts_changed(
        &self,
        write: &mut Write,
        user: &UserId,
        device: &DeviceId,
    ) {
        let (user, device) = (user.to_owned(), device.to_owned());
        write.change(&Change::OneTimeKeys { user, device });
    }

    pub(crate) async fn put_one_time_keys(
        &self,
        write: &mut Write,
        user: &UserId,
        device: &DeviceId,
        keys: &Uploaded<'_>,
    ) -> Result<bool, E2eeError> {
        if keys.is_empty() {
            return Ok(false);
        }
        let part = self.data().parts().user(user);
        let device_name = device.to_string();
        let stored = self.data().list_all::<OneTimeKeyRow>(part, &device_name, ALL_KEYS_MAX);
        let stored = stored.await?;
        let mut left = (ALL_KEYS_MAX as usize).saturating_sub(stored.rows.len());
        let mut known: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for ((_, algorithm, _, _), row) in stored.rows {
            *counts.entry(algorithm.clone()).or_default() += 1;
            known.insert((algorithm, row.value.name), row.value.json);
        }
        let mut index = 0;
        for (id, key) in keys {
            let value = checked_key(id, key)?;
            let algorithm = id.algorithm().to_string();
            match known.get(&(algorithm.clone(), value.name.clone())) {
                Some(stored) if same_json(stored, &value.json) => continue,
                Some(_) => {
                    let why = format!("one-time key {id} already exists with other content");
                    return Err(E2eeError::InvalidKeys(why));
                }
                None => {}
            }
            let count = counts.entry(algorithm.clone()).or_default();
            *count += 1;
            if *count > ONE_TIME_KEYS_MAX || left == 0 {
                return Err(E2eeError::TooLarge("one-time keys"));
            }
            left -= 1;
            let key = (device.to_string(), algorithm, NOW, index);
            write.put_version::<OneTimeKeyRow>(part, &key, 1, &value);
            index += 1;
        }
        Ok(index > 0)
    }

    pub(crate) async fn put_fallback_keys(
        &self,
        write: &mut Write,
        user: &UserId,
        device: &DeviceId,
        keys: &Uploaded<'_>,
    ) -> Result<bool, E2eeError> {
        if keys.len() > FALLBACK_KEYS_MAX {
            return Err(E2eeError::TooLarge("fallback keys"));
        }
        let part = self.data().parts().user(user);
        let names: Vec<_> =
            keys.keys().map(|id| (device.to_string(), id.algorithm().to_string())).collect();
        let stored =
            self.data().get_many::<FallbackKeyRow>(names.iter().map(|at| (part, at))).await?;
        let mut changed = false;
        for (((id, key), at), old) in keys.iter().zip(&names).zip(stored) {
            let value = checked_key(id, key)?;
            if old.as_ref().is_some_and(|old| same_json(&old.key.json, &value.json)) {
                continue;
            }
            let version = old.map_or(0, |old| old.version);
            let value = FallbackKey { key: value, used: false };
            write.require_version::<FallbackKeyRow>(part, at, version);
            write.put_version::<FallbackKeyRow>(part, at, version + 1, &value);
            changed = true;
        }
        Ok(changed)
    }

    /// How many keys a device has in stock; kept in memory, since every sync says it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn key_counts(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Arc<KeyCounts>, E2eeError> {
        let key = (user.to_owned(), device.to_owned());
        if let Some(counts) = self.0.counts.lock().get(&key) {
            return Ok(Arc::clone(counts));
        }
        let epoch = self.0.counts_epoch.load(Ordering::SeqCst);
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let name = device.to_string();
        let one_time = want.prefix::<OneTimeKeyRow>(part, &name, Order::Forward, ALL_KEYS_MAX);
        let fallback = want.prefix::<FallbackKeyRow>(part, &name, Order::Forward, ALL_KEYS_MAX);
        let got = want.run(self.data()).await?;
        let mut counts = KeyCounts::default();
        let mut one_time = got.many(one_time)?;
        if one_time.more {
            // Unusually large keys: one answer does not hold them.
            one_time = self.data().list_all(part, &name, ALL_KEYS_MAX).await?;
        }
        for ((_, algorithm, _, _), _) in one_time.rows {
            *counts.one_time.entry(algorithm).or_default() += 1;
        }
        for ((_, algorithm), row) in got.many(fallback)?.rows {
            if !row.used {
                counts.unused_fallback.push(algorithm);
            }
        }
        let counts = Arc::new(counts);
        let mut cache = self.0.counts.lock();
        if self.0.counts_epoch.load(Ordering::SeqCst) == epoch {
            cache.put(key, Arc::clone(&counts));
        }
        Ok(counts)
    }

    /// Take one key of a local device out of stock, oldest first; the fallback key if there is
    /// none. Each one-time key is handed out at most once, whoever asks at the same time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn claim_key(
        &self,
        user: &UserId,
        device: &DeviceId,
        algorithm: &str,
    ) -> Result<Option<(String, Raw<OneTimeKey>)>, E2eeError> {
        let part = self.data().parts().user(user);
        let at = (device.to_string(), algorithm.to_owned());
        for _ in 0..CLAIM_ATTEMPTS_MAX {
            let mut want = ReadSet::new();
            let first = want.prefix::<OneTimeKeyRow>(part, &at, Order::Forward, 1);
            let fallback = want.get::<FallbackKeyRow>(part, &at);
            let got = want.run(self.data()).await?;
            let mut write = Write::new(part);
            let claimed = match got.many(first)?.rows.pop() {
                Some((key, row)) => {
                    write.require_version::<OneTimeKeyRow>(part, &key, row.version);
                    write.del::<OneTimeKeyRow>(part, &key);
                    row.value
                }
                None => {
                    let Some(row) = got.one(fallback)? else { return Ok(None) };
                    let key = row.value.key.clone();
                    if row.used {
                        return Ok(as_claimed(algorithm, &key));
                    }
                    let used = FallbackKey { key: key.clone(), used: true };
                    write.require_version::<FallbackKeyRow>(part, &at, row.version);
                    write.put_version::<FallbackKeyRow>(part, &at, row.version + 1, &used);
                    key
                }
            };
            let (user, device) = (user.to_owned(), device.to_owned());
            write.change(&Change::OneTimeKeys { user, device });
            match self.data().commit(write).await {
                Ok(_) => return Ok(as_claimed(algorithm, &claimed)),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Claim keys for many devices (`POST /keys/claim`). Devices without keys are left out. One
    /// read for every [`CLAIMS_AT_ONCE`] devices, unless others claim the same keys; their batches
    /// are committed together.
    ///
    /// # Errors
    /// The store failed.
    pub async fn claim_keys(
        &self,
        wanted: &BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
    ) -> Result<ClaimedKeys, E2eeError> {
        let wanted: Vec<_> = wanted
            .iter()
            .filter(|(user, _)| self.data().is_local(user))
            .flat_map(|(user, devices)| devices.iter().map(move |(id, kind)| (user, id, kind)))
            .collect();
        let mut claimed = ClaimedKeys::new();
        for some in wanted.chunks(CLAIMS_AT_ONCE) {
            let claims = some.iter().map(|(user, id, kind)| self.claim_key(user, id, kind));
            let keys = self.data().in_waves(try_together(claims)).await?;
            for ((user, device, _), key) in some.iter().zip(keys) {
                if let Some(key) = key {
                    let of_user = claimed.entry((*user).clone()).or_default();
                    of_user.insert((*device).clone(), key);
                }
            }
        }
        Ok(claimed)
    }
}

/// Keys by user and device: the full key id and the key.
pub type ClaimedKeys = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, (String, Raw<OneTimeKey>)>>;

fn as_claimed(algorithm: &str, key: &OneTimeKeyValue) -> Option<(String, Raw<OneTimeKey>)> {
    Some((format!("{algorithm}:{}", key.name), crate::rows::raw(&key.json)?))
}

fn checked_key(id: &OneTimeKeyId, key: &Raw<OneTimeKey>) -> Result<OneTimeKeyValue, E2eeError> {
    let wrong = |what: &str| E2eeError::InvalidKeys(format!("key {id}: {what}"));
    if key.json().get().len() > KEY_BYTES_MAX {
        return Err(E2eeError::TooLarge("one-time key"));
    }
    let shape = key.deserialize().map_err(|_| wrong("must be a string or a signed key"))?;
    match shape {
        OneTimeKey::SignedKey(signed) => check_key_shape(&signed.key.encode())?,
        OneTimeKey::Key(text) if text.is_empty() => return Err(wrong("is empty")),
        // Plain keys, and kinds that ruma may learn: kept as they are.
        _ => {}
    }
    let name = id.key_name().to_string();
    Ok(OneTimeKeyValue { name, json: key.json().get().to_owned() })
}

/// Equal as JSON, however written.
fn same_json(a: &str, b: &str) -> bool {
    let parse = |json: &str| serde_json::from_str::<serde_json::Value>(json).ok();
    a == b || parse(a) == parse(b)
}
