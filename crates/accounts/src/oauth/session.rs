//! OAuth sessions: opened with a code or a device grant, refreshed, ended.

use std::collections::BTreeMap;

use blaupause_data::{Found, Part, ReadSet, Write};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use super::{
    OAuthError, client,
    rows::{OAuthSessionRow, StoredOAuthSession},
};
use crate::{
    Accounts, AccountsError, Issued, Origin, SignIn,
    registration::millis,
    rows::{AccountRow, DeviceRow, StoredAccount, TokenRow},
    secret::{self, TokenHash, TokenKind, family_of},
    tokens::Grant,
};

/// OAuth sessions of one user that are looked at; a user has no more devices.
const SESSIONS_MAX: u32 = 5_000;

const NO_TOKEN: OAuthError = OAuthError::InvalidGrant("the refresh token is unknown or too old");

/// What a client gets: the tokens and what they are good for.
#[derive(Clone, Debug)]
pub struct OAuthIssued {
    pub issued: Issued,
    pub scope: String,
}

/// What a device has that an OAuth client signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthSession {
    pub client_id: String,
    pub granted_ms: u64,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
}

impl From<StoredOAuthSession> for OAuthSession {
    fn from(stored: StoredOAuthSession) -> Self {
        Self { client_id: stored.client_id, granted_ms: stored.granted_ms }
    }
}

impl Accounts {
    /// Open a session in one batch with what led to it, which is told the session's family.
    /// Conflicts if account, device or client changed since they were read.
    pub(super) async fn open_oauth_session(
        &self,
        account: &Found<StoredAccount>,
        client_id: &str,
        device: &OwnedDeviceId,
        scope: &str,
        origin: Option<Origin>,
        also: impl FnOnce(&mut Write, TokenHash),
    ) -> Result<OAuthIssued, OAuthError> {
        if account.deactivated_ms.is_some() || account.locked {
            return Err(OAuthError::InvalidGrant("the account is closed"));
        }
        let user = &account.user_id;
        let part = self.part(user);
        let client = self.stored_client(client_id).await?.ok_or(OAuthError::InvalidClient)?;
        let found = self.data().get::<DeviceRow>(part, device).await?;
        if found.is_none() {
            self.check_room_for_device(user).await?;
        }
        let how = SignIn {
            device_id: Some(device.clone()),
            device_name: Some(client.metadata.display_name()),
            refresh: true,
            origin,
        };
        let family = self.data().env().random_text::<18>();
        let grant = Grant { client_id, scope, family: &family };
        let mut write = Write::new(part);
        write.require_version::<AccountRow>(part, &(), account.version);
        also(&mut write, secret::hash(&family));
        // Not each time: on a Monday morning a thousand people use the same client.
        if !client.granted || client::is_stale(&client, self.now_ms()) {
            client::note(&mut write, &client_id.to_owned(), client, self.now_ms(), true);
        }
        let (issued, ended) = self.add_session_of(&mut write, user, &how, Some(&grant), found)?;
        self.data().commit(write).await?;
        self.end_sessions(&ended);
        Ok(OAuthIssued { issued, scope: scope.to_owned() })
    }

    pub(crate) fn put_oauth_session(
        &self,
        write: &mut Write,
        part: Part,
        device: &DeviceId,
        grant: &Grant<'_>,
    ) {
        let session = StoredOAuthSession {
            client_id: grant.client_id.to_owned(),
            scope: grant.scope.to_owned(),
            granted_ms: self.now_ms(),
            family: secret::hash(grant.family),
        };
        write.put::<OAuthSessionRow>(part, &device.to_owned(), &session);
    }

    /// Exchange a refresh token of an OAuth client for a new pair. The old one stays good until
    /// the new pair is used. Users of locked accounts may, so that their clients learn from other
    /// endpoints that the account is locked and keep their keys.
    ///
    /// # Errors
    /// [`OAuthError::InvalidGrant`] if the token is unknown, too old or another client's;
    /// [`OAuthError::Compromised`] if it was replaced by one that has been used; or the store
    /// failed.
    pub async fn refresh_oauth(
        &self,
        token: &str,
        client_id: &str,
    ) -> Result<OAuthIssued, OAuthError> {
        let (part, hash) = TokenKind::Refresh.parse(token).ok_or(NO_TOKEN)?;
        let family = family_of(token).ok_or(NO_TOKEN)?;
        let found = self.data().get::<TokenRow>(part, &hash).await?;
        let Some(found) = found else { return Err(self.missed(part, family).await?) };
        let session = self.data().get::<OAuthSessionRow>(part, &found.device).await?;
        let session = session.ok_or(NO_TOKEN)?;
        if session.client_id != client_id {
            return Err(OAuthError::InvalidGrant("the refresh token belongs to another client"));
        }
        let issued = match self.refresh_any(token, Some(family)).await {
            Ok(issued) => issued,
            Err(AccountsError::UnknownToken { .. }) => return Err(NO_TOKEN),
            Err(error) => return Err(error.into()),
        };
        self.note_client_use(client_id).await?;
        Ok(OAuthIssued { issued, scope: session.value.scope })
    }

    /// What a token means that has a family and is not there: it was replaced long ago, so whoever
    /// shows it now has a copy — unless the whole session is gone.
    async fn missed(&self, part: Part, family: &str) -> Result<OAuthError, AccountsError> {
        let family = secret::hash(family);
        let mut want = ReadSet::new();
        let account = want.get::<AccountRow>(part, &());
        let sessions =
            want.prefix::<OAuthSessionRow>(part, &(), blaupause_data::Order::Forward, SESSIONS_MAX);
        let got = want.run(self.data()).await?;
        let mut sessions = got.many(sessions)?.rows.into_iter();
        let session = sessions.find(|(_, session)| session.family == family);
        Ok(match (got.one(account)?, session) {
            (Some(account), Some((device_id, _))) => {
                OAuthError::Compromised { user_id: account.value.user_id, device_id }
            }
            _ => NO_TOKEN,
        })
    }

    /// The OAuth session of a device; `None` if it signed in otherwise.
    ///
    /// # Errors
    /// The store failed.
    pub async fn oauth_session(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<OAuthSession>, AccountsError> {
        let found = self.data().get::<OAuthSessionRow>(self.part(user), &device.to_owned()).await?;
        Ok(found.map(|found| found.value.into()))
    }

    /// All OAuth sessions of a user by device.
    ///
    /// # Errors
    /// The store failed.
    pub async fn oauth_sessions(
        &self,
        user: &UserId,
    ) -> Result<BTreeMap<OwnedDeviceId, OAuthSession>, AccountsError> {
        let page = self.data().list::<OAuthSessionRow>(self.part(user), &(), SESSIONS_MAX).await?;
        Ok(page.rows.into_iter().map(|(device, found)| (device, found.value.into())).collect())
    }

    /// Whose an access or refresh token is, even if its time is over; `None` if nobody has it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn token_owner(&self, token: &str) -> Result<Option<TokenOwner>, AccountsError> {
        let parsed = TokenKind::Access.parse(token).or_else(|| TokenKind::Refresh.parse(token));
        let Some((part, hash)) = parsed else { return Ok(None) };
        let mut want = ReadSet::new();
        let token = want.get::<TokenRow>(part, &hash);
        let account = want.get::<AccountRow>(part, &());
        let got = want.run(self.data()).await?;
        let owner = got.one(token)?.zip(got.one(account)?);
        Ok(owner.map(|(token, account)| TokenOwner {
            user_id: account.value.user_id,
            device_id: token.value.device,
        }))
    }

    /// When an OAuth session ends for want of use, in milliseconds from its last refresh; `None`:
    /// never.
    pub(super) fn oauth_session_ms(&self) -> Option<u64> {
        self.settings().refresh_token_lifetime.map(millis)
    }
}
