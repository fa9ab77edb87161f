//! Who an access token says is asking.

use std::sync::atomic::{AtomicU64, Ordering};

use ruma::{OwnedDeviceId, OwnedUserId};

use crate::rows::{StoredAccount, StoredToken};

/// Who is asking, from which device.
#[derive(Debug)]
pub struct Session {
    pub user_id: OwnedUserId,
    /// `None` only for application services, which may act without a device.
    pub device_id: Option<OwnedDeviceId>,
    pub is_guest: bool,
    /// Server administrator.
    pub is_admin: bool,
    pub is_suspended: bool,
    pub(crate) is_locked: bool,
    /// Milliseconds since the Unix epoch; `None`: until it is revoked.
    pub(crate) expires_ms: Option<u64>,
    /// When it was last noted that the device is in use.
    pub(crate) noted_ms: AtomicU64,
}

impl Session {
    /// A person at a device.
    pub(crate) fn new(account: &StoredAccount, token: &StoredToken) -> Self {
        Self {
            user_id: account.user_id.clone(),
            device_id: Some(token.device.clone()),
            is_guest: account.guest,
            is_admin: account.admin,
            is_suspended: account.suspended,
            is_locked: account.locked,
            expires_ms: token.expires_ms,
            noted_ms: AtomicU64::new(0),
        }
    }

    /// A service acts as somebody. It is no session of a person: nothing ends it but the account,
    /// and it has no rights of an administrator.
    pub(crate) fn of_service(account: &StoredAccount, device_id: Option<OwnedDeviceId>) -> Self {
        Self {
            user_id: account.user_id.clone(),
            device_id,
            is_guest: false,
            is_admin: false,
            is_suspended: account.suspended,
            is_locked: account.locked,
            expires_ms: None,
            noted_ms: AtomicU64::new(0),
        }
    }

    /// Whether so much time has passed that the device's use should be noted again; if so, the
    /// caller does it.
    pub(crate) fn take_note(&self, now_ms: u64, every_ms: u64) -> bool {
        let noted = self.noted_ms.load(Ordering::Relaxed);
        now_ms >= noted.saturating_add(every_ms)
            && self
                .noted_ms
                .compare_exchange(noted, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
