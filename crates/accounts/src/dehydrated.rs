//! The dehydrated device: a device of a user that nobody uses, so that there is always one for
//! which others encrypt (MSC3814). Each user has at most one.
//!
//! Here is what makes it a device; its keys and messages belong to `e2ee`, which writes all of it in
//! one batch and says in the log that the user's devices changed.

use blaupause_data::{ReadSet, Write};
use ruma::{DeviceId, OwnedDeviceId, UserId};

use crate::{
    Accounts, AccountsError,
    devices::{check_device_id, device_name},
    rows::{DehydratedRow, DeviceRow, StoredDehydrated, StoredDevice},
};

/// Bytes of the encrypted device, as JSON (an Olm account with 100 one-time keys has 30,000).
const DATA_BYTES_MAX: usize = 90_000;

/// A user's dehydrated device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dehydrated {
    pub device_id: OwnedDeviceId,
    /// The encrypted device, a JSON object.
    pub data: String,
}

impl Accounts {
    /// The dehydrated device of a local user. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dehydrated(&self, user: &UserId) -> Result<Option<Dehydrated>, AccountsError> {
        let row = self.data().get::<DehydratedRow>(self.part(user), &()).await?;
        Ok(row.map(|row| Dehydrated { device_id: row.value.device_id, data: row.value.data }))
    }

    /// Add to a batch that this is the user's dehydrated device from now on, and answer which one
    /// it replaces: the keys and messages of that are to be removed in the same batch. The batch
    /// conflicts if somebody else does the same.
    ///
    /// # Errors
    /// Somebody signed in as this device, something is too large, or the store failed.
    pub async fn put_dehydrated(
        &self,
        write: &mut Write,
        user: &UserId,
        new: &Dehydrated,
        name: Option<&str>,
    ) -> Result<Option<OwnedDeviceId>, AccountsError> {
        if new.data.len() > DATA_BYTES_MAX {
            return Err(AccountsError::TooLarge("device_data"));
        }
        let (part, device) = (self.part(user), check_device_id(&new.device_id)?.to_owned());
        let mut want = ReadSet::new();
        let old = want.get::<DehydratedRow>(part, &());
        let known = want.get::<DeviceRow>(part, &device);
        let got = want.run(self.data()).await?;
        let (old, known) = (got.one(old)?, got.one(known)?);
        let replaced = old.as_ref().map(|old| old.value.device_id.clone());
        let is_same = replaced.as_ref() == Some(&device);
        if known.as_ref().is_some_and(|known| !is_same || !known.tokens.is_empty()) {
            return Err(AccountsError::Invalid("the device id is that of a signed-in device"));
        }
        if known.is_none() {
            self.check_room_for_device(user).await?;
        }
        let (version, created_ms) =
            known.map_or((0, self.now_ms()), |known| (known.version, known.created_ms));
        let value =
            StoredDevice { display_name: name.map(device_name), created_ms, tokens: Vec::new() };
        write.require_version::<DeviceRow>(part, &device, version);
        write.put_version::<DeviceRow>(part, &device, version + 1, &value);
        let version = old.map_or(0, |old| old.version);
        let stored = StoredDehydrated { device_id: device, data: new.data.clone() };
        write.require_version::<DehydratedRow>(part, &(), version);
        write.put_version::<DehydratedRow>(part, &(), version + 1, &stored);
        match replaced.filter(|_| !is_same) {
            Some(replaced) => self.drop_unused(write, user, replaced).await,
            None => Ok(None),
        }
    }

    /// Add to a batch that the user has no dehydrated device any more, and answer which one it
    /// was, as [`Self::put_dehydrated`]. `None`: there is none; nothing is added.
    ///
    /// # Errors
    /// The store failed.
    pub async fn del_dehydrated(
        &self,
        write: &mut Write,
        user: &UserId,
    ) -> Result<Option<DelDehydrated>, AccountsError> {
        let part = self.part(user);
        let Some(old) = self.data().get::<DehydratedRow>(part, &()).await? else {
            return Ok(None);
        };
        write.require_version::<DehydratedRow>(part, &(), old.version);
        write.del::<DehydratedRow>(part, &());
        let device_id = old.value.device_id;
        let removed = self.drop_unused(write, user, device_id.clone()).await?;
        Ok(Some(DelDehydrated { device_id, removed: removed.is_some() }))
    }

    /// Remove the device, unless somebody has signed in as it since.
    async fn drop_unused(
        &self,
        write: &mut Write,
        user: &UserId,
        device: OwnedDeviceId,
    ) -> Result<Option<OwnedDeviceId>, AccountsError> {
        let part = self.part(user);
        let Some(row) = self.data().get::<DeviceRow>(part, &device).await? else {
            return Ok(Some(device));
        };
        if !row.tokens.is_empty() {
            return Ok(None);
        }
        write.require_version::<DeviceRow>(part, &device, row.version);
        write.del::<DeviceRow>(part, &device);
        Ok(Some(device))
    }
}

/// What [`Accounts::del_dehydrated`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelDehydrated {
    pub device_id: OwnedDeviceId,
    /// The device is gone, so its keys and messages go, too.
    pub removed: bool,
}

/// Whether a device is the dehydrated one, which is no session.
pub(crate) fn is_dehydrated(
    dehydrated: Option<&StoredDehydrated>,
    device: &DeviceId,
    stored: &StoredDevice,
) -> bool {
    stored.tokens.is_empty() && dehydrated.is_some_and(|row| row.device_id == device)
}
