//! Authorization codes (RFC 6749, section 4.1): what the browser carries from the person's consent
//! to the client.

use std::time::Duration;

use blaupause_data::{DataError, ReadSet, Write};
use ruma::UserId;

use super::{
    AuthorizationRequest, Challenge, OAuthError, OAuthIssued,
    rows::{AuthCodeRow, OAuthSessionRow, StoredAuthCode},
};
use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Origin, Secret,
    origin::{self, Opened},
    registration::millis,
    rows::{AccountRow, OriginRow},
    secret::TokenKind,
};

/// A code is good for so long (RFC 6749: "a maximum of 10 minutes is recommended").
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// A code that was used is recognised for so long.
const CODE_KEPT_FOR: Duration = Duration::from_secs(10 * 60);
/// Codes of one user at once, used ones included; a new one pushes out the oldest.
const CODES_MAX: usize = 20;

impl Accounts {
    /// The person said yes: make the code for the client. `origin`: where the browser's session
    /// came from.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grant_code(
        &self,
        user: &UserId,
        request: &AuthorizationRequest,
        origin: Option<&Origin>,
    ) -> Result<Secret, AccountsError> {
        let part = self.part(user);
        let now = self.now_ms();
        let mut write = Write::new(part);
        let old = self.data().list::<AuthCodeRow>(part, &(), 10 * CODES_MAX as u32).await?;
        let mut old: Vec<_> =
            old.rows.into_iter().map(|(hash, code)| (code.value.expires_ms, hash)).collect();
        old.sort_unstable();
        let too_many = (old.len() + 1).saturating_sub(CODES_MAX);
        for (index, (ended, hash)) in old.iter().enumerate() {
            if index < too_many || ended.saturating_add(millis(CODE_KEPT_FOR)) <= now {
                write.del::<AuthCodeRow>(part, hash);
                origin::put(&mut write, part, Opened::Code(hash), None);
            }
        }
        let (text, hash) = TokenKind::AuthCode.make(self.data().env(), part);
        let code = StoredAuthCode {
            client_id: request.client.id.clone(),
            redirect_uri: request.back.uri().to_owned(),
            scope: request.scope.granted.clone(),
            device: request.scope.device_id.clone(),
            challenge: request.challenge.0,
            expires_ms: now.saturating_add(millis(CODE_LIFETIME)),
            used: None,
        };
        write.put_version::<AuthCodeRow>(part, &hash, 1, &code);
        if origin.is_some() {
            origin::put(&mut write, part, Opened::Code(&hash), origin);
        }
        self.data().commit(write).await?;
        Ok(Secret::new(text))
    }

    /// Exchange a code for a session, once.
    ///
    /// # Errors
    /// [`OAuthError::InvalidGrant`] if the code is unknown or too old, or belongs to another
    /// client, redirect URI or verifier; [`OAuthError::Compromised`] if it was used before; or the
    /// store failed.
    pub async fn redeem_code(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<OAuthIssued, OAuthError> {
        const UNKNOWN: OAuthError = OAuthError::InvalidGrant("the code is unknown or too old");
        let (part, hash) = TokenKind::AuthCode.parse(code).ok_or(UNKNOWN)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut want = ReadSet::new();
            let code = want.get::<AuthCodeRow>(part, &hash);
            let account = want.get::<AccountRow>(part, &());
            let origin = want.get::<OriginRow>(part, &Opened::Code(&hash).key());
            let got = want.run(self.data()).await?;
            let origin = got.one(origin)?.map(|found| found.value);
            let (Some(code), Some(account)) = (got.one(code)?, got.one(account)?) else {
                return Err(UNKNOWN);
            };
            if let Some(family) = code.used {
                let session = self.data().get::<OAuthSessionRow>(part, &code.device).await?;
                // The device may have signed in anew since, which is another session.
                let is_alive = session.is_some_and(|session| session.family == family);
                let (user_id, device_id) = (account.value.user_id, code.value.device);
                return Err(if is_alive {
                    OAuthError::Compromised { user_id, device_id }
                } else {
                    UNKNOWN
                });
            }
            if code.expires_ms <= self.now_ms() {
                return Err(UNKNOWN);
            }
            if code.client_id != client_id || code.redirect_uri != redirect_uri {
                return Err(OAuthError::InvalidGrant("the code belongs to another request"));
            }
            if !Challenge(code.challenge).fits(verifier) {
                return Err(OAuthError::InvalidGrant("code_verifier does not fit"));
            }
            let (device, scope) = (code.device.clone(), code.scope.clone());
            let used = |write: &mut Write, family| {
                let mut value = code.value;
                value.used = Some(family);
                write.require_version::<AuthCodeRow>(part, &hash, code.version);
                write.put_version::<AuthCodeRow>(part, &hash, code.version + 1, &value);
            };
            let opened =
                self.open_oauth_session(&account, client_id, &device, &scope, origin, used);
            match opened.await {
                // Somebody was faster; if it was with this code, the next look says so.
                Err(OAuthError::Accounts(AccountsError::Data(DataError::Conflict { .. }))) => {}
                done => return done,
            }
        }
        Err(AccountsError::Busy.into())
    }
}
