//! Devices: what signed in once and has not signed out.

use std::{collections::BTreeMap, sync::Arc};

use blaupause_data::{Change, DataError, Order, ReadSet, Write};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, LastSeen,
    dehydrated::is_dehydrated,
    oauth::rows::OAuthSessionRow,
    origin::{self, Opened},
    rows::{DehydratedRow, DeviceRow, LastSeenRow, TokenHash, TokenRow},
};

/// Devices of one user. Beyond that nobody can sign in until some are removed.
const DEVICES_MAX: u32 = 5_000;
/// Devices removed in one batch.
const DEVICES_PER_BATCH: usize = 200;
/// Bytes of a device id.
const DEVICE_ID_BYTES_MAX: usize = 255;
/// Characters of a device's name.
const DEVICE_NAME_LENGTH_MAX: usize = 100;

/// A device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    pub device_id: OwnedDeviceId,
    pub display_name: Option<String>,
    pub created_ms: u64,
    pub last_seen: Option<LastSeen>,
}

/// Devices of a user and their names.
pub type DeviceNames = BTreeMap<OwnedDeviceId, Option<String>>;

impl Accounts {
    /// The devices of a local user, in order of their ids, without the dehydrated one, which is no
    /// session (MSC3814). One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn devices(&self, user: &UserId) -> Result<Vec<DeviceInfo>, AccountsError> {
        let part = self.part(user);
        let mut want = ReadSet::new();
        let devices = want.prefix::<DeviceRow>(part, &(), Order::Forward, DEVICES_MAX);
        let seen = want.prefix::<LastSeenRow>(part, &(), Order::Forward, 2 * DEVICES_MAX);
        let dehydrated = want.get::<DehydratedRow>(part, &());
        let got = want.run(self.data()).await?;
        let dehydrated = got.one(dehydrated)?.map(|row| row.value);
        let mut seen: BTreeMap<_, _> = got.many(seen)?.rows.into_iter().collect();
        let devices = got.many(devices)?.rows.into_iter();
        let devices =
            devices.filter(|(device, row)| !is_dehydrated(dehydrated.as_ref(), device, &row.value));
        let devices = devices.map(|(device_id, row)| {
            let stored = seen.remove(&device_id).map(|row| row.value.into());
            DeviceInfo {
                last_seen: self.pending_last_seen(user, &device_id).or(stored),
                display_name: row.value.display_name,
                created_ms: row.value.created_ms,
                device_id,
            }
        });
        Ok(devices.collect())
    }

    /// One device of a local user.
    ///
    /// # Errors
    /// The store failed.
    pub async fn device(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<DeviceInfo>, AccountsError> {
        if device.as_bytes().len() > DEVICE_ID_BYTES_MAX {
            return Ok(None);
        }
        let part = self.part(user);
        let key = device.to_owned();
        let mut want = ReadSet::new();
        let row = want.get::<DeviceRow>(part, &key);
        let seen = want.get::<LastSeenRow>(part, &key);
        let got = want.run(self.data()).await?;
        let Some(row) = got.one(row)? else { return Ok(None) };
        let stored = got.one(seen)?.map(|row| row.value.into());
        Ok(Some(DeviceInfo {
            last_seen: self.pending_last_seen(user, device).or(stored),
            display_name: row.value.display_name,
            created_ms: row.value.created_ms,
            device_id: key,
        }))
    }

    /// Devices of a user and their names; empty for people of other servers. From memory, if they
    /// were asked for lately.
    ///
    /// # Errors
    /// The store failed.
    pub async fn device_names(&self, user: &UserId) -> Result<Arc<DeviceNames>, AccountsError> {
        let names = self.device_names_of(&[user]).await?.pop();
        Ok(names.unwrap_or_default())
    }

    /// As [`Self::device_names`] for many users, in their order, in at most one read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn device_names_of(
        &self,
        users: &[&UserId],
    ) -> Result<Vec<Arc<DeviceNames>>, AccountsError> {
        let ticket = self.0.device_names.ticket();
        let mut want = ReadSet::new();
        let slots: Vec<_> = users
            .iter()
            .map(|user| {
                if !self.data().is_local(user) {
                    return Ok(Arc::default());
                }
                self.0.device_names.get(&(*user).to_owned()).ok_or_else(|| {
                    want.prefix::<DeviceRow>(self.part(user), &(), Order::Forward, DEVICES_MAX)
                })
            })
            .collect();
        let got = want.run(self.data()).await?;
        let names = slots.into_iter().zip(users).map(|(slot, user)| match slot {
            Ok(known) => Ok(known),
            Err(page) => {
                let rows = got.many(page)?.rows.into_iter();
                let names: Arc<DeviceNames> =
                    Arc::new(rows.map(|(id, row)| (id, row.value.display_name)).collect());
                self.0.device_names.put(ticket, (*user).to_owned(), Arc::clone(&names));
                Ok(names)
            }
        });
        names.collect()
    }

    /// Give a device another name; `None` leaves it as it is.
    ///
    /// # Errors
    /// There is no such device, the name is too long, or the store failed.
    pub async fn rename_device(
        &self,
        user: &UserId,
        device: &DeviceId,
        name: Option<&str>,
    ) -> Result<(), AccountsError> {
        if name.is_some_and(|name| name.chars().count() > DEVICE_NAME_LENGTH_MAX) {
            return Err(AccountsError::TooLarge("device name"));
        }
        let part = self.part(user);
        let key = check_device_id(device).map_err(|_| AccountsError::DeviceUnknown)?.to_owned();
        for _ in 0..ATTEMPTS_MAX {
            let row = self.data().get::<DeviceRow>(part, &key).await?;
            let row = row.ok_or(AccountsError::DeviceUnknown)?;
            let Some(name) = name else { return Ok(()) };
            let mut value = row.value;
            value.display_name = Some(name.to_owned());
            let mut write = Write::new(part);
            write.require_version::<DeviceRow>(part, &key, row.version);
            write.put_version::<DeviceRow>(part, &key, row.version + 1, &value);
            write.change(&Change::Devices { user: user.to_owned() });
            match self.data().commit(write).await {
                Ok(_) => return Ok(()),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// Remove devices with their tokens; unknown ones are passed over. Nobody can use the tokens
    /// any more when this returns. Keys and messages of the devices must have been removed before
    /// (`e2ee`): a crash between leaves devices without keys, which can be removed again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_devices(
        &self,
        user: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), AccountsError> {
        for chunk in devices.chunks(DEVICES_PER_BATCH) {
            self.delete_chunk(user, chunk).await?;
        }
        Ok(())
    }

    async fn delete_chunk(
        &self,
        user: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), AccountsError> {
        let part = self.part(user);
        let fits = |device: &&OwnedDeviceId| device.as_bytes().len() <= DEVICE_ID_BYTES_MAX;
        // The same device twice would be a precondition twice.
        let devices: std::collections::BTreeSet<_> = devices.iter().filter(fits).collect();
        for _ in 0..ATTEMPTS_MAX {
            let mut want = ReadSet::new();
            let slots: Vec<_> =
                devices.iter().map(|device| want.get::<DeviceRow>(part, *device)).collect();
            let dehydrated = want.get::<DehydratedRow>(part, &());
            let got = want.run(self.data()).await?;
            let rows = slots.into_iter().map(|slot| got.one(slot));
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let dehydrated = got.one(dehydrated)?;
            let mut write = Write::new(part);
            let mut ended: Vec<TokenHash> = Vec::new();
            for (device, row) in devices.iter().zip(rows) {
                let Some(row) = row else { continue };
                write.require_version::<DeviceRow>(part, device, row.version);
                write.del::<DeviceRow>(part, device);
                write.del::<LastSeenRow>(part, device);
                write.del::<OAuthSessionRow>(part, device);
                origin::put(&mut write, part, Opened::Device(device), None);
                for token in row.value.tokens {
                    write.del::<TokenRow>(part, &token);
                    ended.push(token);
                }
                self.forget_last_seen(user, device);
            }
            if let Some(row) = dehydrated
                && devices.contains(&row.device_id)
            {
                write.require_version::<DehydratedRow>(part, &(), row.version);
                write.del::<DehydratedRow>(part, &());
            }
            if write.is_empty() {
                return Ok(());
            }
            write.change(&Change::Devices { user: user.to_owned() });
            match self.data().commit(write).await {
                Ok(_) => {
                    self.end_sessions(&ended);
                    return Ok(());
                }
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    pub(crate) async fn check_room_for_device(&self, user: &UserId) -> Result<(), AccountsError> {
        let page = self.data().list::<DeviceRow>(self.part(user), &(), DEVICES_MAX).await?;
        if page.rows.len() >= DEVICES_MAX as usize {
            return Err(AccountsError::TooMany("devices"));
        }
        Ok(())
    }

    /// The key of a device in memory.
    pub(crate) fn device_key(user: &UserId, device: &DeviceId) -> (OwnedUserId, OwnedDeviceId) {
        (user.to_owned(), device.to_owned())
    }
}

/// Device ids are opaque, but must fit into a key.
pub(crate) fn check_device_id(device: &DeviceId) -> Result<&DeviceId, AccountsError> {
    if device.as_str().is_empty() || device.as_bytes().len() > DEVICE_ID_BYTES_MAX {
        return Err(AccountsError::Invalid("device id"));
    }
    Ok(device)
}

/// The name of a new device; what is too long is cut.
pub(crate) fn device_name(name: &str) -> String {
    name.chars().take(DEVICE_NAME_LENGTH_MAX).collect()
}
