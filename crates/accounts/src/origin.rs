//! Where a sign-in came from. What an identity provider opened ends when the provider says so
//! (OpenID Connect Back-Channel Logout 1.0), so it is noted beside each cookie, code, token and
//! device, and handed on from one to the next.

use blaupause_data::{DIRECTORY, DataError, Order, Part, ReadSet, Write};
use ruma::{DeviceId, OwnedDeviceId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError,
    oauth::rows::{AuthCodeRow, BrowserRow, DeviceGrantRow},
    rows::{LoginTokenRow, OriginRow},
    secret::TokenHash,
};

/// Things of one user that providers opened and that are looked at (devices: at most 5,000).
const OPENED_MAX: u32 = 6_000;

/// Who vouched for a person who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The provider's id in the configuration.
    pub provider: String,
    /// The provider's own name for its session (`sid`), if it has one.
    pub session: Option<String>,
}

/// What has an origin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opened<'o> {
    Browser(&'o TokenHash),
    Code(&'o TokenHash),
    Login(&'o TokenHash),
    /// By its user code.
    Grant(&'o str),
    Device(&'o DeviceId),
}

const BROWSER: u8 = b'b';
const CODE: u8 = b'c';
const LOGIN: u8 = b'l';
const GRANT: u8 = b'g';
const DEVICE: u8 = b'd';

impl Opened<'_> {
    pub fn key(self) -> (u8, String) {
        match self {
            Self::Browser(hash) => (BROWSER, hex::encode(hash)),
            Self::Code(hash) => (CODE, hex::encode(hash)),
            Self::Login(hash) => (LOGIN, hex::encode(hash)),
            Self::Grant(code) => (GRANT, code.to_owned()),
            Self::Device(device) => (DEVICE, device.to_string()),
        }
    }
}

/// Note in a batch where something came from; `None`: from nowhere else.
pub(crate) fn put(write: &mut Write, part: Part, opened: Opened<'_>, origin: Option<&Origin>) {
    match origin {
        Some(origin) => write.put::<OriginRow>(part, &opened.key(), origin),
        None => write.del::<OriginRow>(part, &opened.key()),
    }
}

/// Forget in a batch where browsers came from, because all of them are signed out.
pub(crate) fn forget_browsers(write: &mut Write, part: Part) {
    write.del_prefix::<OriginRow>(part, &BROWSER);
}

impl Accounts {
    /// Where the session of a device came from; `None`: it was opened here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn origin_of_device(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<Origin>, AccountsError> {
        let key = Opened::Device(device).key();
        let found = self.data().get::<OriginRow>(self.part(user), &key).await?;
        Ok(found.map(|found| found.value))
    }

    /// Where all that a user has open came from, as far as it was not opened here; the same origin
    /// may stand there several times.
    ///
    /// # Errors
    /// The store failed.
    pub async fn opened_elsewhere(&self, user: &UserId) -> Result<Vec<Origin>, AccountsError> {
        let page = self.data().list::<OriginRow>(self.part(user), &(), OPENED_MAX).await?;
        Ok(page.rows.into_iter().map(|(_, origin)| origin.value).collect())
    }

    /// End what a provider opened for a user, in one of its sessions or (`None`) in all: browsers,
    /// codes, grants and login tokens end at once; the devices are answered, to be removed with their keys.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_opened_by(
        &self,
        user: &UserId,
        provider: &str,
        session: Option<&str>,
    ) -> Result<Vec<OwnedDeviceId>, AccountsError> {
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let mut want = ReadSet::new();
            let opened = want.prefix::<OriginRow>(part, &(), Order::Forward, OPENED_MAX);
            let opened = want.run(self.data()).await?.many(opened)?.rows;
            let mut write = Write::new(part);
            let mut devices = Vec::new();
            for (key, origin) in opened {
                let is_other = session.is_some_and(|sid| origin.session.as_deref() != Some(sid));
                if origin.provider != provider || is_other {
                    continue;
                }
                let hash = || {
                    let mut hash = TokenHash::default();
                    hex::decode_to_slice(&key.1, &mut hash).ok().map(|()| hash)
                };
                match (key.0, hash()) {
                    // Goes with its device.
                    (DEVICE, _) => {
                        devices.push(key.1.into());
                        continue;
                    }
                    (BROWSER, Some(hash)) => write.del::<BrowserRow>(part, &hash),
                    (CODE, Some(hash)) => write.del::<AuthCodeRow>(part, &hash),
                    (LOGIN, Some(hash)) => write.del::<LoginTokenRow>(part, &hash),
                    (GRANT, _) => write.del::<DeviceGrantRow>(DIRECTORY, &key.1),
                    _ => {}
                }
                write.del::<OriginRow>(part, &key);
            }
            if write.is_empty() {
                return Ok(devices);
            }
            match self.data().commit(write).await {
                Ok(_) => return Ok(devices),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }
}
