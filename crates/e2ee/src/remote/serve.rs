//! Keys of local users, for other servers.

use std::collections::BTreeMap;

use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    encryption::{CrossSigningKey, DeviceKeys},
    serde::Raw,
};

use super::checked;
use crate::{
    E2ee, E2eeError, UserKeys,
    rows::{ToldDevicesRow, raw},
};

/// All that others may know of a user's devices.
#[derive(Clone, Debug)]
pub struct UserDevices {
    /// The number of the last change that was told.
    pub stream_id: u64,
    pub devices: BTreeMap<OwnedDeviceId, Raw<DeviceKeys>>,
    pub master: Option<Raw<CrossSigningKey>>,
    pub self_signing: Option<Raw<CrossSigningKey>>,
}

impl E2ee {
    /// Keys of local users as another server gets them: without what only the users themselves see
    /// and, unless the operator wants it otherwise, without the names of devices, which say more of
    /// a person than strangers need. Users of other servers are left out, whatever is known of them
    /// here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn keys_for_others(
        &self,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<BTreeMap<OwnedUserId, UserKeys>, E2eeError> {
        let mut found = self.query_keys(None, wanted).await?;
        for keys in found.values_mut() {
            keys.user_signing = None;
            if self.settings().device_names {
                continue;
            }
            for device in keys.devices.values_mut() {
                if let Some(nameless) = nameless(device.json().get()) {
                    *device = nameless;
                }
            }
        }
        Ok(found)
    }

    /// A local user's devices and the number of the last change; `None` if it is somebody else's
    /// user. Changes that follow have that number before them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn devices_for_others(
        &self,
        user: &UserId,
    ) -> Result<Option<UserDevices>, E2eeError> {
        if !self.data().is_local(user) {
            return Ok(None);
        }
        // The number first: a change in between is told again, and changes nothing.
        let part = self.data().parts().user(user);
        let told = self.data().get::<ToldDevicesRow>(part, &()).await?;
        let wanted = BTreeMap::from([(user.to_owned(), Vec::new())]);
        let keys = self.keys_for_others(&wanted).await?.remove(user).unwrap_or_default();
        Ok(Some(UserDevices {
            stream_id: told.map_or(0, |told| told.stream_id),
            devices: keys.devices,
            master: keys.master,
            self_signing: keys.self_signing,
        }))
    }
}

fn nameless(keys: &str) -> Option<Raw<DeviceKeys>> {
    raw(&checked::with_name(keys, None)?)
}
