//! Registration by whoever holds the shared secret (Synapse's `/_synapse/admin/v1/register`, used
//! by test suites and provisioning scripts).

use std::{num::NonZeroUsize, time::Duration};

use hmac::{Hmac, Mac};
use lru::LruCache;
use parking_lot::Mutex;
use sha1::Sha1;

use crate::{
    Accounts, AccountsError, NewAccount, Registered, Secret, SignIn,
    names::{Chosen, new_user_id},
    registration::{Plan, millis},
};

/// A nonce is good for so long.
const NONCE_LIFETIME: Duration = Duration::from_secs(60);
/// Nonces kept; asking for more makes the oldest void.
const NONCES_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// Nonces given out and not used yet, with the time they end.
pub(crate) struct Nonces(Mutex<LruCache<String, u64>>);

impl Default for Nonces {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NONCES_MAX)))
    }
}

impl Accounts {
    /// A nonce, good once and for a minute.
    ///
    /// # Errors
    /// No shared secret is configured.
    pub fn registration_nonce(&self) -> Result<String, AccountsError> {
        if self.settings().registration_shared_secret.is_none() {
            return Err(AccountsError::RegistrationClosed);
        }
        let nonce = self.data().env().random_text::<32>();
        let ends = self.now_ms() + millis(NONCE_LIFETIME);
        self.0.nonces.0.lock().put(nonce.clone(), ends);
        Ok(nonce)
    }

    /// Make an account for somebody who holds the shared secret: `mac` is HMAC-SHA1 over nonce,
    /// name, password and `admin` or `notadmin` (and the user type, if one was sent), with a zero
    /// byte between them, in hex.
    ///
    /// # Errors
    /// Nonce or MAC are wrong, the name is impossible or taken, the password is weak, or the
    /// store failed.
    pub async fn register_with_shared_secret(
        &self,
        nonce: &str,
        new: NewAccount,
        user_type: Option<&str>,
        mac: &str,
        sign_in: Option<SignIn>,
    ) -> Result<Registered, AccountsError> {
        let secret = self.settings().registration_shared_secret.as_ref();
        let secret = secret.ok_or(AccountsError::RegistrationClosed)?;
        let ends = self.0.nonces.0.lock().pop(nonce);
        if ends.is_none_or(|ends| ends <= self.now_ms()) {
            return Err(AccountsError::WrongSharedSecret);
        }
        let password = new.password.as_ref().map_or("", Secret::reveal);
        let mut wanted = Hmac::<Sha1>::new_from_slice(secret.reveal().as_bytes())
            .expect("HMAC takes keys of any length");
        let admin = if new.admin { "admin" } else { "notadmin" };
        wanted.update([nonce, &new.localpart, password, admin].join("\0").as_bytes());
        if let Some(user_type) = user_type {
            wanted.update(b"\0");
            wanted.update(user_type.as_bytes());
        }
        // In constant time.
        let mac = from_hex(mac).ok_or(AccountsError::WrongSharedSecret)?;
        wanted.verify_slice(&mac).map_err(|_| AccountsError::WrongSharedSecret)?;
        let server = self.data().server_name();
        let user_id = new_user_id(&new.localpart, server, Chosen::ByOperator)?;
        let plan = Plan { user_id, admin: new.admin, guest: false, token: None };
        self.add_account(plan, new.password, sign_in).await
    }
}

/// Bytes of an HMAC-SHA1.
const MAC_BYTES: usize = 20;

fn from_hex(hex: &str) -> Option<[u8; MAC_BYTES]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * MAC_BYTES {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut mac = [0; MAC_BYTES];
    for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(mac)
}
