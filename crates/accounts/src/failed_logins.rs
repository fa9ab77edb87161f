//! Against guessing passwords: wrong ones are counted per account, wherever they are tried.
//! Names that nobody has are counted in the same way, so that the count says nothing about them.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use ruma::UserId;

use crate::{Accounts, AccountsError};

/// Accounts whose wrong passwords are remembered.
const ACCOUNTS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// How many wrong passwords an account may have: `burst` at once, then `per_second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailedLogins {
    pub per_second: f64,
    pub burst: u32,
}

/// Wrong passwords of late.
pub(crate) struct FailedTable(Mutex<LruCache<String, Failed>>);

#[derive(Clone, Copy)]
struct Failed {
    count: f64,
    at_ms: u64,
}

impl Default for FailedTable {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ACCOUNTS_MAX)))
    }
}

impl Accounts {
    /// Refuse to look at a password if there were too many wrong ones; otherwise count it as
    /// wrong until [`Self::forget_failed`] says that it was right. So many tries at once do not
    /// get past the limit.
    pub(crate) fn count_try(&self, user: &UserId) -> Result<(), AccountsError> {
        let Some(limit) = self.settings().failed_logins else { return Ok(()) };
        let now = self.now_ms();
        let mut table = self.0.failed.0.lock();
        let none = Failed { count: 0.0, at_ms: now };
        let failed = table.get_or_insert_mut(user.to_string(), || none);
        let passed_s = now.saturating_sub(failed.at_ms) as f64 / 1000.0;
        failed.count = (failed.count - passed_s * limit.per_second).max(0.0);
        failed.at_ms = now;
        let after = failed.count + 1.0;
        if after > f64::from(limit.burst.max(1)) {
            let wait_s = (after - f64::from(limit.burst.max(1))) / limit.per_second.max(1e-6);
            // At least a millisecond, and not more than a client should be told.
            let retry_after_ms = (wait_s * 1000.0).ceil().clamp(1.0, 3_600_000.0) as u64;
            return Err(AccountsError::TooManyTries { retry_after_ms });
        }
        failed.count = after;
        Ok(())
    }

    /// The password was right.
    pub(crate) fn forget_failed(&self, user: &UserId) {
        self.0.failed.0.lock().pop(user.as_str());
    }
}
