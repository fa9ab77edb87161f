//! Where a user wants notifications sent (spec: client-server API, "Pushers").

use std::collections::HashSet;

use blaupause_data::{DIRECTORY, LIMITS, Part, Place, Write};
use parking_lot::RwLock;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, UserId,
    api::client::push::{Pusher, PusherIds, PusherKind},
};
use tokio::sync::OnceCell;

use crate::{
    Notify, NotifyError,
    rows::{PushState, PushStateRow, PusherIndexRow, PusherRow, StoredPusher},
};

/// Pushers of one user.
const PUSHERS_MAX: usize = 100;
/// Bytes of an app id or push key (spec: 64 characters and 512 bytes).
const APP_ID_CHARS_MAX: usize = 64;
const PUSH_KEY_BYTES_MAX: usize = 512;
/// Bytes of a whole pusher.
const PUSHER_BYTES_MAX: usize = 8 * 1024;
/// Users whose pushers with the same app and push key are removed at once.
const SAME_KEY_MAX: u32 = 1_000;
/// The only path a gateway may have (spec: "POST /pushers/set").
const GATEWAY_PATH: &str = "/_matrix/push/v1/notify";

/// Users who have, or had, pushers: for everybody else nothing has to be looked up.
#[derive(Default)]
pub(crate) struct WithPushers {
    users: RwLock<HashSet<OwnedUserId>>,
    is_loaded: OnceCell<()>,
}

/// A pusher that a user wants.
#[derive(Clone, Debug)]
pub struct SetPusher<'a> {
    pub pusher: &'a Pusher,
    /// Other users keep pushers with the same ids.
    pub append: bool,
    /// Whether notifications are sent (MSC3881). `None`: not said; then they are, and the pusher
    /// belongs to the device that sets it. Otherwise it stays with the device that it belongs to:
    /// one device switches another's pusher.
    pub enabled: Option<bool>,
}

/// A pusher as its user sees it.
#[derive(Clone, Debug)]
pub struct OwnPusher {
    pub pusher: Pusher,
    pub device: Option<OwnedDeviceId>,
    pub enabled: bool,
}

/// A pusher as the gateway's side sees it.
pub(crate) struct KnownPusher {
    pub user: OwnedUserId,
    pub key: (String, String),
    pub stored: StoredPusher,
    pub pusher: Pusher,
}

impl Notify {
    /// A user's pushers, apart from those whose device is gone.
    ///
    /// # Errors
    /// The store failed.
    pub async fn pushers(&self, user: &UserId) -> Result<Vec<OwnPusher>, NotifyError> {
        let known = self.known_pushers(user).await?.into_iter();
        Ok(known
            .map(|known| OwnPusher {
                pusher: known.pusher,
                device: known.stored.device,
                enabled: known.stored.enabled,
            })
            .collect())
    }

    /// As [`Notify::pushers`], with what is stored.
    pub(crate) async fn known_pushers(
        &self,
        user: &UserId,
    ) -> Result<Vec<KnownPusher>, NotifyError> {
        let devices = self.accounts().device_names(user).await?;
        let is_there = |pusher: &StoredPusher| {
            pusher.device.as_ref().is_none_or(|device| devices.contains_key(device))
        };
        let rows = self.pusher_rows(user).await?.into_iter();
        let rows = rows.filter(|(_, pusher)| is_there(pusher));
        Ok(rows
            .filter_map(|(key, stored)| {
                let pusher = serde_json::from_str(&stored.json).ok()?;
                Some(KnownPusher { user: user.to_owned(), key, stored, pusher })
            })
            .collect())
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
        wanted: SetPusher<'_>,
    ) -> Result<(), NotifyError> {
        let pusher = wanted.pusher;
        self.check_pusher(pusher)?;
        let json = serde_json::to_string(pusher).expect("a pusher is plain data");
        if json.len() > PUSHER_BYTES_MAX {
            return Err(NotifyError::TooLarge("pusher"));
        }
        let key = key(&pusher.ids);
        let rows = self.pusher_rows(user).await?;
        let old = rows.iter().find(|(other, _)| *other == key).map(|(_, old)| old.clone());
        if old.is_none() && rows.len() >= PUSHERS_MAX {
            return Err(NotifyError::TooLarge("number of pushers"));
        }
        let data = self.data();
        let part = data.parts().user(user);
        let mut write = Write::new(part);
        let keeps_device = wanted.enabled.is_some() && old.is_some();
        let stored = StoredPusher {
            device: match &old {
                Some(old) if keeps_device => old.device.clone(),
                _ => device.map(ToOwned::to_owned),
            },
            json,
            enabled: wanted.enabled.unwrap_or(true),
            set_ms: data.env().now_millis(),
        };
        write.put::<PusherRow>(part, &key, &stored);
        write.put::<PusherIndexRow>(DIRECTORY, &(self.index_key(&key), part), &user.to_owned());
        if old.is_none() {
            // What was before it is not its business.
            let state = PushState { upto: Place::after(data.position()), badge: None };
            write.put::<PushStateRow>(part, &key, &state);
        }
        if !wanted.append {
            self.take_from_others(user, &key, &mut write).await?;
        }
        self.0.with_pushers.users.write().insert(user.to_owned());
        data.commit(write).await?;
        Ok(())
    }

    fn check_pusher(&self, pusher: &Pusher) -> Result<(), NotifyError> {
        if pusher.ids.app_id.chars().count() > APP_ID_CHARS_MAX {
            return Err(NotifyError::InvalidPusher("app_id is too long"));
        }
        if pusher.ids.pushkey.len() > PUSH_KEY_BYTES_MAX {
            return Err(NotifyError::InvalidPusher("pushkey is too long"));
        }
        let http = match &pusher.kind {
            PusherKind::Http(http) => http,
            PusherKind::Email(_) => {
                let reason = "this server sends no notifications by mail";
                return Err(NotifyError::InvalidPusher(reason));
            }
            _ => return Err(NotifyError::InvalidPusher("this kind is not known here")),
        };
        check_gateway(&http.url)?;
        if self.settings().push.reach(&http.url).is_none() {
            return Err(NotifyError::InvalidPusher("this push gateway is not allowed here"));
        }
        Ok(())
    }

    /// A push key is one app on one phone: whoever signs in there last gets its notifications.
    async fn take_from_others(
        &self,
        user: &UserId,
        key: &(String, String),
        write: &mut Write,
    ) -> Result<(), NotifyError> {
        let hash = self.index_key(key);
        let others = self.data().list::<PusherIndexRow>(DIRECTORY, &hash, SAME_KEY_MAX).await?;
        for ((_, part), other) in others.rows {
            if other.value != user {
                self.write_removal(write, part, key);
            }
        }
        Ok(())
    }

    fn write_removal(&self, write: &mut Write, part: Part, key: &(String, String)) {
        write.del::<PusherRow>(part, key);
        write.del::<PushStateRow>(part, key);
        write.del::<PusherIndexRow>(DIRECTORY, &(self.index_key(key), part));
    }

    fn index_key(&self, key: &(String, String)) -> [u8; 16] {
        self.data().parts().hash16(&format!("{}\0{}", key.0, key.1))
    }

    /// Whether a user may have pushers.
    pub(crate) fn has_pushers(&self, user: &UserId) -> bool {
        self.0.with_pushers.users.read().contains(user)
    }

    /// Learn who has pushers, if it is not known yet.
    pub(crate) async fn load_pusher_index(&self) -> Result<(), NotifyError> {
        let known = &self.0.with_pushers;
        let load = async {
            let rows = self.data().list_all::<PusherIndexRow>(DIRECTORY, &(), u32::MAX).await?.rows;
            known.users.write().extend(rows.into_iter().map(|(_, user)| user.value));
            Ok(())
        };
        // Large, and rarely needed.
        Box::pin(known.is_loaded.get_or_try_init(|| load)).await.copied()
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
        let is_of = |pusher: &StoredPusher| {
            pusher.device.as_ref().is_some_and(|device| devices.contains(device))
        };
        self.delete_pushers_where(user, is_of).await
    }

    /// Remove all pushers of a user.
    pub(crate) async fn delete_all_pushers(&self, user: &UserId) -> Result<(), NotifyError> {
        self.delete_pushers_where(user, |_| true).await
    }

    async fn delete_pushers_where(
        &self,
        user: &UserId,
        goes: impl Fn(&StoredPusher) -> bool,
    ) -> Result<(), NotifyError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        for (key, pusher) in self.pusher_rows(user).await? {
            if goes(&pusher) {
                self.write_removal(&mut write, part, &key);
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
        self.write_removal(&mut write, part, &key(ids));
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
