//! Where a user wants notifications sent (spec: client-server API, "Pushers").

use blaupause_data::{LIMITS, Write};
use ruma::{
    UserId,
    api::client::push::{Pusher, PusherIds, PusherKind},
};

use crate::{Notify, NotifyError, rows::PusherRow};

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
    /// A user's pushers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn pushers(&self, user: &UserId) -> Result<Vec<Pusher>, NotifyError> {
        let part = self.data().parts().user(user);
        let rows = self.data().list::<PusherRow>(part, &(), LIMITS.scan_rows_max).await?.rows;
        Ok(rows.into_iter().filter_map(|(_, row)| serde_json::from_str(&row.value).ok()).collect())
    }

    /// Add a pusher or replace the one with the same ids.
    ///
    /// # Errors
    /// The pusher cannot work, there are too many, or the store failed.
    pub async fn set_pusher(&self, user: &UserId, pusher: &Pusher) -> Result<(), NotifyError> {
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
        if self.pushers(user).await?.len() >= PUSHERS_MAX {
            return Err(NotifyError::TooLarge("number of pushers"));
        }
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        write.put::<PusherRow>(part, &key(&pusher.ids), &json);
        self.data().commit(write).await?;
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
