//! Where a user wants notifications sent (spec: client-server API, "Pushers").

use blaupause_data::{LIMITS, Write};
use ruma::{
    DeviceId, OwnedDeviceId, UserId,
    api::client::push::{Pusher, PusherIds, PusherKind},
};

use crate::{
    Notify, NotifyError,
    rows::{PusherRow, StoredPusher},
};

/// Pushers of one user.
const PUSHERS_MAX: usize = 100;
/// Bytes of an app id or push key (spec: 64 characters and 512 bytes).
const APP_ID_CHARS_MAX: usize = 64;
const PUSH_KEY_BYTES_MAX: usize = 512;
/// Bytes of a whole pusher.
const PUSHER_BYTES_MAX: usize = 8 * 1024;
/// The only path a gateway may have (spec: "POST /pushers/set").
const GATEWAY_PATH: &str = "/_matrix/push/v1/notify";

impl Notify {
    /// A user's pushers, apart from those whose device is gone.
    ///
    /// # Errors
    /// The store failed.
    pub async fn pushers(&self, user: &UserId) -> Result<Vec<Pusher>, NotifyError> {
        let devices = self.accounts().device_names(user).await?;
        let is_there = |pusher: &StoredPusher| {
            pusher.device.as_ref().is_none_or(|device| devices.contains_key(device))
        };
        let rows = self.pusher_rows(user).await?.into_iter();
        let rows = rows.map(|(_, pusher)| pusher).filter(is_there);
        Ok(rows.filter_map(|pusher| serde_json::from_str(&pusher.json).ok()).collect())
    }

    async fn pusher_rows(
        &self,
        user: &UserId,
    ) -> Result<Vec<((String, String), StoredPusher)>, NotifyError> {
        let part = self.data().parts().user(user);
        let rows = self.data().list::<PusherRow>(part, &(), LIMITS.scan_rows_max).await?.rows;
        Ok(rows.into_iter().map(|(key, row)| (key, row.value)).collect())
    }

    /// Add a pusher of a device, or replace the one with the same ids.
    ///
    /// # Errors
    /// The pusher cannot work, there are too many, or the store failed.
    pub async fn set_pusher(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        pusher: &Pusher,
    ) -> Result<(), NotifyError> {
        if pusher.ids.app_id.chars().count() > APP_ID_CHARS_MAX {
            return Err(NotifyError::InvalidPusher("app_id is too long"));
        }
        if pusher.ids.pushkey.len() > PUSH_KEY_BYTES_MAX {
            return Err(NotifyError::InvalidPusher("pushkey is too long"));
        }
        if let PusherKind::Http(http) = &pusher.kind {
            check_gateway(&http.url)?;
        }
        let json = serde_json::to_string(pusher).expect("a pusher is plain data");
        if json.len() > PUSHER_BYTES_MAX {
            return Err(NotifyError::TooLarge("pusher"));
        }
        let key = key(&pusher.ids);
        let others = self.pusher_rows(user).await?.into_iter().filter(|(other, _)| *other != key);
        if others.count() >= PUSHERS_MAX {
            return Err(NotifyError::TooLarge("number of pushers"));
        }
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        let stored = StoredPusher { device: device.map(ToOwned::to_owned), json };
        write.put::<PusherRow>(part, &key, &stored);
        self.data().commit(write).await?;
        Ok(())
    }

    /// Remove the pushers of devices. To be called before the devices are removed: should the
    /// server be killed in between, they can be removed again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_pushers_of(
        &self,
        user: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), NotifyError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        for (key, pusher) in self.pusher_rows(user).await? {
            if pusher.device.is_some_and(|device| devices.contains(&device)) {
                write.del::<PusherRow>(part, &key);
            }
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }

    /// Remove a pusher, whether or not it exists.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_pusher(&self, user: &UserId, ids: &PusherIds) -> Result<(), NotifyError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        write.del::<PusherRow>(part, &key(ids));
        self.data().commit(write).await?;
        Ok(())
    }
}

fn key(ids: &PusherIds) -> (String, String) {
    (ids.app_id.clone(), ids.pushkey.clone())
}

fn check_gateway(url: &str) -> Result<(), NotifyError> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or(NotifyError::InvalidPusher("data.url must be an http or https URL"))?;
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if path == GATEWAY_PATH {
        Ok(())
    } else {
        Err(NotifyError::InvalidPusher("data.url must have the path /_matrix/push/v1/notify"))
    }
}

#[cfg(test)]
mod tests;
