//! Dehydrated devices: keys and messages of a device that nobody uses (MSC3814).
//!
//! Others encrypt for it as for every device. Who signs in anew takes it over: they read what came
//! for it, and put a new one in its place.

use blaupause_accounts::Dehydrated;
use blaupause_data::{DataError, Part, StreamPos, Write};
use ruma::{
    DeviceId, OneTimeKeyId, OwnedDeviceId, UserId,
    encryption::{DeviceKeys, OneTimeKey},
    serde::Raw,
};

use crate::{
    E2ee, E2eeError, ToDevicePage,
    one_time::Uploaded,
    rows::{DeviceKeysRow, FallbackKeyRow, OneTimeKeyRow, ToDeviceRow, ToDeviceTxnRow},
};

/// Attempts to replace the device while others do the same.
const ATTEMPTS_MAX: usize = 8;
/// Behind every position.
const END: StreamPos = StreamPos(u64::MAX - 1);

/// A device to be kept for later.
#[derive(Debug)]
pub struct NewDehydrated<'a> {
    pub device_id: OwnedDeviceId,
    pub display_name: Option<&'a str>,
    /// The encrypted device: an object with an `algorithm`.
    pub data: &'a str,
    pub keys: &'a Raw<DeviceKeys>,
    pub one_time: Vec<(&'a OneTimeKeyId, &'a Raw<OneTimeKey>)>,
    pub fallback: Vec<(&'a OneTimeKeyId, &'a Raw<OneTimeKey>)>,
}

impl E2ee {
    /// Keep a device with all its keys, in place of the one kept so far: that is gone with its keys
    /// and messages in the same batch. The same device may be sent again.
    ///
    /// # Errors
    /// The data or a key has a wrong shape, somebody is signed in as the device, something is too
    /// large, or the store failed.
    pub async fn put_dehydrated(
        &self,
        user: &UserId,
        new: &NewDehydrated<'_>,
    ) -> Result<(), E2eeError> {
        check_data(new.data)?;
        let part = self.data().parts().user(user);
        let (device, data) = (new.device_id.clone(), new.data.to_owned());
        let dehydrated = Dehydrated { device_id: device.clone(), data };
        let (one_time, fallback): (Uploaded<'_>, Uploaded<'_>) =
            (new.one_time.iter().copied().collect(), new.fallback.iter().copied().collect());
        for _ in 0..ATTEMPTS_MAX {
            let mut write = Write::new(part);
            let accounts = self.accounts();
            let name = new.display_name;
            let replaced = accounts.put_dehydrated(&mut write, user, &dehydrated, name).await?;
            if let Some(replaced) = replaced {
                forget(&mut write, part, &replaced);
                self.note_key_counts_changed(&mut write, user, &replaced);
            }
            self.put_device_keys(&mut write, user, &device, new.keys).await?;
            self.put_one_time_keys(&mut write, user, &device, &one_time).await?;
            self.put_fallback_keys(&mut write, user, &device, &fallback).await?;
            self.note_key_counts_changed(&mut write, user, &device);
            self.note_devices_changed(&mut write, user).await?;
            match self.data().commit(write).await {
                Ok(_) => return Ok(()),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(blaupause_accounts::AccountsError::Busy.into())
    }

    /// Forget the dehydrated device; answers which one it was.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_dehydrated(
        &self,
        user: &UserId,
    ) -> Result<Option<OwnedDeviceId>, E2eeError> {
        let part = self.data().parts().user(user);
        for _ in 0..ATTEMPTS_MAX {
            let mut write = Write::new(part);
            let Some(done) = self.accounts().del_dehydrated(&mut write, user).await? else {
                return Ok(None);
            };
            if done.removed {
                forget(&mut write, part, &done.device_id);
                self.note_key_counts_changed(&mut write, user, &done.device_id);
            }
            self.note_devices_changed(&mut write, user).await?;
            match self.data().commit(write).await {
                Ok(_) => return Ok(Some(done.device_id)),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(blaupause_accounts::AccountsError::Busy.into())
    }

    /// What came for the dehydrated device behind `since`, oldest first.
    ///
    /// Nothing is removed by reading: whoever takes the device over may be interrupted, and with a
    /// message the keys in it would be lost. Messages go with the device.
    ///
    /// # Errors
    /// This is not the user's dehydrated device, or the store failed.
    pub async fn dehydrated_messages(
        &self,
        user: &UserId,
        device: &DeviceId,
        since: StreamPos,
    ) -> Result<ToDevicePage, E2eeError> {
        let kept = self.accounts().dehydrated(user).await?;
        if kept.is_none_or(|kept| kept.device_id != device) {
            return Err(E2eeError::NotDehydrated);
        }
        self.to_device(user, device, since, END).await
    }
}

/// An object that names its algorithm (MSC3814); what else is in it only clients know.
fn check_data(data: &str) -> Result<(), E2eeError> {
    let data: Option<serde_json::Value> = serde_json::from_str(data).ok();
    let algorithm = data.as_ref().and_then(|data| data.get("algorithm")?.as_str());
    if algorithm.is_none_or(str::is_empty) {
        let why = "device_data must be an object with an algorithm";
        return Err(E2eeError::InvalidKeys(why.into()));
    }
    Ok(())
}

/// Keys and messages of a device that is gone.
pub(crate) fn forget(write: &mut Write, part: Part, device: &DeviceId) {
    let name = device.to_string();
    write.del::<DeviceKeysRow>(part, &name);
    write.del_prefix::<OneTimeKeyRow>(part, &name);
    write.del_prefix::<FallbackKeyRow>(part, &name);
    write.del_prefix::<ToDeviceRow>(part, &name);
    write.del_prefix::<ToDeviceTxnRow>(part, &name);
}
