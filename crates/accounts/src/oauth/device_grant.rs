//! Device grants (RFC 8628): a client without a browser shows a code, which a person types in a
//! browser elsewhere.

use std::{sync::atomic::Ordering, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Found, Write};
use ruma::UserId;

use super::{
    Client, OAuthError, OAuthIssued, OAuthScope,
    rows::{DeviceGrantRow, StoredDecision, StoredDeviceGrant},
};
use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Origin, Secret,
    origin::{self, Opened},
    registration::millis,
    rows::OriginRow,
    secret,
};

/// So long the person has to decide.
const GRANT_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// So often the client may ask.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// What is added each time it asks too often (RFC 8628, section 3.5).
const SLOW_DOWN_BY: Duration = Duration::from_secs(5);
/// Open grants of all users together.
const GRANTS_MAX: u64 = 10_000;
/// The letters of user codes: no vowels, so that no words come about, and none that look alike
/// (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a user code: 2.5 × 10¹⁰ codes, of which at most [`GRANTS_MAX`] are good.
const USER_CODE_LENGTH: usize = 8;
/// Bytes of a device code.
const DEVICE_CODE_BYTES_MAX: usize = 100;

/// What the client is told.
#[derive(Clone, Debug)]
pub struct DeviceGrant {
    pub device_code: Secret,
    /// `BCDF-GHJK`.
    pub user_code: String,
    pub expires_in: Duration,
    pub interval: Duration,
}

/// What the person is asked.
#[derive(Clone, Debug)]
pub struct PendingDeviceGrant {
    /// As it is shown.
    pub user_code: String,
    pub client: Client,
    pub scope: OAuthScope,
}

/// When a grant was polled last, and how long it should have been let alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polled {
    at_ms: u64,
    interval_ms: u64,
}

/// Pure. A code as somebody typed it, in its one form; `None` if it cannot be one.
pub fn normal_user_code(typed: &str) -> Option<String> {
    if typed.len() > 4 * USER_CODE_LENGTH {
        return None;
    }
    let letters = typed.chars().filter(|c| !matches!(c, '-' | ' ' | '\u{2013}'));
    let code: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    let fits = code.len() == USER_CODE_LENGTH && code.bytes().all(|b| LETTERS.contains(&b));
    fits.then_some(code)
}

/// Pure. A code as it is shown.
fn shown(code: &str) -> String {
    let (left, right) = code.split_at(USER_CODE_LENGTH / 2);
    format!("{left}-{right}")
}

impl Accounts {
    /// A client asks for a device grant.
    ///
    /// # Errors
    /// The client is unknown or did not register for it, the scope cannot be granted, too many
    /// grants are open, or the store failed.
    pub async fn start_device_grant(
        &self,
        client_id: &str,
        scope: &str,
    ) -> Result<DeviceGrant, OAuthError> {
        let client = self.oauth_client(client_id).await?.ok_or(OAuthError::InvalidClient)?;
        if !client.metadata.device_grant {
            return Err(OAuthError::UnauthorizedClient);
        }
        let scope = OAuthScope::parse(scope)?;
        self.check_room_for_grant().await?;
        let env = self.data().env();
        for _ in 0..ATTEMPTS_MAX {
            let mut number = u64::from_be_bytes(env.random());
            let user_code: String = (0..USER_CODE_LENGTH)
                .map(|_| {
                    let letter = LETTERS[(number % 20) as usize];
                    number /= 20;
                    char::from(letter)
                })
                .collect();
            let device_code = format!("bpd_{user_code}_{}", env.random_text::<32>());
            let grant = StoredDeviceGrant {
                device_code: secret::hash(&device_code),
                client_id: client.id.clone(),
                scope: scope.granted.clone(),
                device: scope.device_id.clone(),
                expires_ms: self.now_ms().saturating_add(millis(GRANT_LIFETIME)),
                decision: StoredDecision::Pending,
            };
            let mut write = Write::new(DIRECTORY);
            write.require_version::<DeviceGrantRow>(DIRECTORY, &user_code, 0);
            write.put_version::<DeviceGrantRow>(DIRECTORY, &user_code, 1, &grant);
            match self.data().commit(write).await {
                Ok(_) => {
                    self.0.oauth.device_grants.fetch_add(1, Ordering::Relaxed);
                    return Ok(DeviceGrant {
                        device_code: Secret::new(device_code),
                        user_code: shown(&user_code),
                        expires_in: GRANT_LIFETIME,
                        interval: POLL_INTERVAL,
                    });
                }
                // The code is taken: another one.
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy.into())
    }

    async fn check_room_for_grant(&self) -> Result<(), AccountsError> {
        if self.0.oauth.device_grants.load(Ordering::Relaxed) >= GRANTS_MAX {
            self.sweep_oauth().await?;
        }
        if self.0.oauth.device_grants.load(Ordering::Relaxed) >= GRANTS_MAX {
            return Err(AccountsError::TooMany("device grants"));
        }
        Ok(())
    }

    /// What a person decides who typed this code; `None` if nothing waits for it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn pending_device_grant(
        &self,
        typed: &str,
    ) -> Result<Option<PendingDeviceGrant>, OAuthError> {
        let Some((code, grant)) = self.open_grant(typed).await? else { return Ok(None) };
        let Some(client) = self.oauth_client(&grant.client_id).await? else { return Ok(None) };
        let scope = OAuthScope::parse(&grant.scope)?;
        Ok(Some(PendingDeviceGrant { user_code: shown(&code), client, scope }))
    }

    /// The person decided. Whether there was something to decide. `origin`: where the browser's
    /// session came from.
    ///
    /// # Errors
    /// The store failed.
    pub async fn decide_device_grant(
        &self,
        user: &UserId,
        typed: &str,
        approve: bool,
        origin: Option<&Origin>,
    ) -> Result<bool, AccountsError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some((code, grant)) = self.open_grant(typed).await? else { return Ok(false) };
            let mut value = grant.value;
            value.decision = if approve {
                StoredDecision::Approved(user.to_owned())
            } else {
                StoredDecision::Denied
            };
            let mut write = Write::new(DIRECTORY);
            write.require_version::<DeviceGrantRow>(DIRECTORY, &code, grant.version);
            write.put_version::<DeviceGrantRow>(DIRECTORY, &code, grant.version + 1, &value);
            if approve && origin.is_some() {
                origin::put(&mut write, self.part(user), Opened::Grant(&code), origin);
            }
            match self.data().commit(write).await {
                Ok(_) => return Ok(true),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    async fn open_grant(
        &self,
        typed: &str,
    ) -> Result<Option<(String, Found<StoredDeviceGrant>)>, AccountsError> {
        let Some(code) = normal_user_code(typed) else { return Ok(None) };
        let grant = self.data().get::<DeviceGrantRow>(DIRECTORY, &code).await?;
        let is_open = |grant: &Found<StoredDeviceGrant>| {
            grant.decision == StoredDecision::Pending && grant.expires_ms > self.now_ms()
        };
        Ok(grant.filter(is_open).map(|grant| (code, grant)))
    }

    /// The client asks whether the person has decided.
    ///
    /// # Errors
    /// See RFC 8628, section 3.5; or the store failed.
    pub async fn poll_device_grant(
        &self,
        client_id: &str,
        device_code: &str,
    ) -> Result<OAuthIssued, OAuthError> {
        const UNKNOWN: OAuthError = OAuthError::InvalidGrant("the device code is unknown");
        let user_code = user_code_of(device_code).ok_or(UNKNOWN)?;
        for _ in 0..ATTEMPTS_MAX {
            let grant = self.data().get::<DeviceGrantRow>(DIRECTORY, &user_code).await?;
            let grant = grant.ok_or(UNKNOWN)?;
            if grant.device_code != secret::hash(device_code) {
                return Err(UNKNOWN);
            }
            if grant.client_id != client_id {
                return Err(OAuthError::InvalidGrant("the device code belongs to another client"));
            }
            if grant.expires_ms <= self.now_ms() {
                return Err(OAuthError::ExpiredToken);
            }
            let user = match &grant.decision {
                StoredDecision::Denied => return Err(OAuthError::AccessDenied),
                StoredDecision::Pending => {
                    self.check_interval(&user_code)?;
                    return Err(OAuthError::AuthorizationPending);
                }
                StoredDecision::Approved(user) => user,
            };
            let account = self.stored_account(user).await?.ok_or(OAuthError::AccessDenied)?;
            let part = self.part(user);
            let opened = Opened::Grant(&user_code);
            let origin = self.data().get::<OriginRow>(part, &opened.key()).await?;
            let origin = origin.map(|found| found.value);
            let used = |write: &mut Write, _| {
                write.require_version::<DeviceGrantRow>(DIRECTORY, &user_code, grant.version);
                write.del::<DeviceGrantRow>(DIRECTORY, &user_code);
                origin::put(write, part, opened, None);
            };
            let (device, scope) = (&grant.device, &grant.scope);
            let opened = self.open_oauth_session(&account, client_id, device, scope, origin, used);
            match opened.await {
                Err(OAuthError::Accounts(AccountsError::Data(DataError::Conflict { .. }))) => {}
                done => return done,
            }
        }
        Err(AccountsError::Busy.into())
    }

    fn check_interval(&self, user_code: &str) -> Result<(), OAuthError> {
        let now = self.now_ms();
        let mut polled = self.0.oauth.polled.lock();
        let Some(last) = polled.get_mut(user_code) else {
            let first = Polled { at_ms: now, interval_ms: millis(POLL_INTERVAL) };
            polled.put(user_code.to_owned(), first);
            return Ok(());
        };
        let is_early = now < last.at_ms.saturating_add(last.interval_ms);
        last.at_ms = now;
        if is_early {
            last.interval_ms = last.interval_ms.saturating_add(millis(SLOW_DOWN_BY));
            return Err(OAuthError::SlowDown);
        }
        Ok(())
    }
}

/// Pure. A device code begins with the user code, under which its row lies.
fn user_code_of(device_code: &str) -> Option<String> {
    if device_code.len() > DEVICE_CODE_BYTES_MAX {
        return None;
    }
    let (user_code, _) = device_code.strip_prefix("bpd_")?.split_once('_')?;
    normal_user_code(user_code).filter(|code| code == user_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_understood_as_people_type_them() {
        for typed in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "BCDF–GHJK", "B-C-D-F-G-H-J-K"] {
            assert_eq!(normal_user_code(typed).as_deref(), Some("BCDFGHJK"), "{typed}");
        }
        let long = "B".repeat(1_000);
        for bad in
            ["", "BCDF", "BCDFGHJKL", "ABCDFGHJ", "BCDF-GHJ1", "BCDF_GHJK", "ßCDFGHJK", &long]
        {
            assert_eq!(normal_user_code(bad), None, "{bad}");
        }
        assert_eq!(shown("BCDFGHJK"), "BCDF-GHJK");
    }

    #[test]
    fn a_device_code_names_its_row() {
        assert_eq!(user_code_of("bpd_BCDFGHJK_x").as_deref(), Some("BCDFGHJK"));
        for bad in ["", "bpd_", "bpd_BCDFGHJK", "bpd_bcdfghjk_x", "bp_BCDFGHJK_x", "bpd_A_x"] {
            assert_eq!(user_code_of(bad), None, "{bad}");
        }
    }
}
