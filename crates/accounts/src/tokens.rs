//! Access and refresh tokens: who is asking?
//!
//! A token row lies with its user and is found by the token's hash. With a refresh token a session
//! moves on in steps: refreshing makes a new pair beside the old one; the first use of the new
//! pair ends the old one; refreshing again with the old one instead (the answer was lost) ends the
//! new one. So there is never more than one line of descent.

use std::{sync::Arc, time::Duration};

use blaupause_data::{Change, DataError, Found, Part, ReadSet, Write};
use ruma::{DeviceId, OwnedDeviceId, UserId};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Issued, Secret, Session, SignIn,
    devices::{check_device_id, device_name},
    oauth::rows::OAuthSessionRow,
    origin::{self, Opened},
    registration::millis,
    rows::{
        AccountRow, DeviceRow, StoredDevice, StoredToken, StoredTokenKind, TokenPair, TokenRow,
    },
    secret::{TokenHash, TokenKind, family_of},
};

/// Characters of a device id that the server chooses.
const DEVICE_ID_LENGTH: usize = 10;

/// What an OAuth client was granted with a session.
pub(crate) struct Grant<'g> {
    pub client_id: &'g str,
    pub scope: &'g str,
    /// What the texts of all refresh tokens of the session have in common.
    pub family: &'g str,
}

const UNKNOWN: AccountsError = AccountsError::UnknownToken { soft_logout: false };

impl Accounts {
    /// Whose access token this is. At most one read; none if the token was used lately.
    ///
    /// # Errors
    /// The token is unknown or expired, the account is locked, or the store failed.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Session>, AccountsError> {
        let session = self.authenticate_even_locked(token).await?;
        if session.is_locked { Err(AccountsError::Locked) } else { Ok(session) }
    }

    /// As [`Self::authenticate`], for the few things that users of locked accounts may do: signing
    /// out.
    ///
    /// # Errors
    /// The token is unknown or expired, or the store failed.
    pub async fn authenticate_even_locked(
        &self,
        token: &str,
    ) -> Result<Arc<Session>, AccountsError> {
        let (part, hash) = TokenKind::Access.parse(token).ok_or(UNKNOWN)?;
        if let Some(session) = self.0.sessions.get(&hash) {
            return self.unexpired(session);
        }
        for _ in 0..ATTEMPTS_MAX {
            let ticket = self.0.sessions.ticket();
            let mut want = ReadSet::new();
            let token = want.get::<TokenRow>(part, &hash);
            let account = want.get::<AccountRow>(part, &());
            let got = want.run(self.data()).await?;
            let (Some(token), Some(account)) = (got.one(token)?, got.one(account)?) else {
                return Err(UNKNOWN);
            };
            if account.deactivated_ms.is_some()
                || !matches!(token.kind, StoredTokenKind::Access { .. })
            {
                return Err(UNKNOWN);
            }
            let session = self.unexpired(Arc::new(Session::new(&account, &token)))?;
            if token.replaces.is_none() {
                self.0.sessions.put(ticket, hash, Arc::clone(&session));
                return Ok(session);
            }
            match self.settle(part, hash, token).await {
                Ok(()) => return Ok(session),
                Err(AccountsError::Data(DataError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AccountsError::Busy)
    }

    /// Whether the token was used lately, so that recognising it reads nothing.
    pub fn is_in_memory(&self, token: &str) -> bool {
        let parsed = TokenKind::Access.parse(token);
        parsed.is_some_and(|(_, hash)| self.0.sessions.get(&hash).is_some())
    }

    fn unexpired(&self, session: Arc<Session>) -> Result<Arc<Session>, AccountsError> {
        match session.expires_ms {
            Some(ends) if ends <= self.now_ms() => {
                Err(AccountsError::UnknownToken { soft_logout: true })
            }
            _ => Ok(session),
        }
    }

    /// A new access token was used for the first time: end the pair that it replaces.
    async fn settle(
        &self,
        part: Part,
        hash: TokenHash,
        token: Found<StoredToken>,
    ) -> Result<(), AccountsError> {
        let mut value = token.value;
        let Some(old) = value.replaces.take() else { return Ok(()) };
        let device = self.data().get::<DeviceRow>(part, &value.device).await?.ok_or(UNKNOWN)?;
        let mut write = Write::new(part);
        write.require_version::<TokenRow>(part, &hash, token.version);
        write.put_version::<TokenRow>(part, &hash, token.version + 1, &value);
        del_pair(&mut write, part, &old);
        let mut kept = device.value;
        kept.tokens.retain(|token| *token != old.access && *token != old.refresh);
        put_device(&mut write, part, &value.device, device.version, &kept);
        self.data().commit(write).await?;
        self.end_sessions(&[old.access]);
        Ok(())
    }

    /// Exchange a refresh token for a new pair. The old one stays good until the new pair is used.
    ///
    /// # Errors
    /// The token is unknown or expired, or an OAuth client's, which refreshes elsewhere; the
    /// account is locked; or the store failed.
    pub async fn refresh(&self, token: &str) -> Result<Issued, AccountsError> {
        if family_of(token).is_some() {
            return Err(UNKNOWN);
        }
        self.refresh_any(token, None).await
    }

    /// As [`Self::refresh`]. `family`: that of an OAuth session, which goes on even if the account
    /// is locked.
    pub(crate) async fn refresh_any(
        &self,
        token: &str,
        family: Option<&str>,
    ) -> Result<Issued, AccountsError> {
        let (part, hash) = TokenKind::Refresh.parse(token).ok_or(UNKNOWN)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut want = ReadSet::new();
            let token = want.get::<TokenRow>(part, &hash);
            let account = want.get::<AccountRow>(part, &());
            let got = want.run(self.data()).await?;
            let (Some(token), Some(account)) = (got.one(token)?, got.one(account)?) else {
                return Err(UNKNOWN);
            };
            if account.deactivated_ms.is_some() {
                return Err(UNKNOWN);
            }
            if account.locked && family.is_none() {
                return Err(AccountsError::Locked);
            }
            if token.expires_ms.is_some_and(|ends| ends <= self.now_ms()) {
                return Err(AccountsError::UnknownToken { soft_logout: true });
            }
            match self.exchange(&account.user_id, hash, token, family).await {
                Err(AccountsError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(AccountsError::Busy)
    }

    async fn exchange(
        &self,
        user: &UserId,
        hash: TokenHash,
        token: Found<StoredToken>,
        family: Option<&str>,
    ) -> Result<Issued, AccountsError> {
        let part = self.part(user);
        let mut value = token.value;
        let StoredTokenKind::Refresh { access, next } = &mut value.kind else {
            return Err(UNKNOWN);
        };
        let this = TokenPair { access: *access, refresh: hash };
        let device = self.data().get::<DeviceRow>(part, &value.device).await?.ok_or(UNKNOWN)?;
        let mut kept = device.value;
        let mut write = Write::new(part);
        // What came before this one, and what an earlier exchange made that was never used.
        let ended: Vec<_> = value.replaces.take().into_iter().chain(next.take()).collect();
        for pair in &ended {
            del_pair(&mut write, part, pair);
            kept.tokens.retain(|token| *token != pair.access && *token != pair.refresh);
        }
        let (issued, new) =
            self.add_tokens(&mut write, user, &value.device, Refreshable(true, family), Some(this));
        *next = new.pair();
        kept.tokens.extend(new.hashes());
        write.require_version::<TokenRow>(part, &hash, token.version);
        write.put_version::<TokenRow>(part, &hash, token.version + 1, &value);
        put_device(&mut write, part, &value.device, device.version, &kept);
        self.data().commit(write).await?;
        self.end_sessions(&ended.iter().map(|pair| pair.access).collect::<Vec<_>>());
        Ok(issued)
    }

    /// Add a session to a batch: the device and its tokens. `device` is what the wanted device is
    /// now. Also answers which tokens end, to be given to [`Self::end_sessions`] afterwards.
    pub(crate) fn add_session(
        &self,
        write: &mut Write,
        user: &UserId,
        how: &SignIn,
        device: Option<Found<StoredDevice>>,
    ) -> Result<(Issued, Vec<TokenHash>), AccountsError> {
        self.add_session_of(write, user, how, None, device)
    }

    /// As [`Self::add_session`]. `grant`: what an OAuth client was granted; `None`: the session is
    /// no OAuth client's, even if the device was.
    pub(crate) fn add_session_of(
        &self,
        write: &mut Write,
        user: &UserId,
        how: &SignIn,
        grant: Option<&Grant<'_>>,
        device: Option<Found<StoredDevice>>,
    ) -> Result<(Issued, Vec<TokenHash>), AccountsError> {
        let part = self.part(user);
        let device_id = match &how.device_id {
            Some(device_id) => check_device_id(device_id)?.to_owned(),
            None => self.new_device_id(),
        };
        let (version, mut value) = match device {
            Some(device) => (device.version, device.value),
            None => {
                let display_name = how.device_name.as_deref().map(device_name);
                let created_ms = self.now_ms();
                (0, StoredDevice { display_name, created_ms, tokens: Vec::new() })
            }
        };
        let ended = std::mem::take(&mut value.tokens);
        for token in &ended {
            write.del::<TokenRow>(part, token);
        }
        origin::put(write, part, Opened::Device(&device_id), how.origin.as_ref());
        match grant {
            Some(grant) => self.put_oauth_session(write, part, &device_id, grant),
            None => write.del::<OAuthSessionRow>(part, &device_id),
        }
        let refreshable = Refreshable(how.refresh, grant.map(|grant| grant.family));
        let (issued, new) = self.add_tokens(write, user, &device_id, refreshable, None);
        value.tokens.extend(new.hashes());
        put_device(write, part, &device_id, version, &value);
        write.change(&Change::Devices { user: user.to_owned() });
        Ok((issued, ended))
    }

    fn add_tokens(
        &self,
        write: &mut Write,
        user: &UserId,
        device: &DeviceId,
        Refreshable(refreshable, family): Refreshable<'_>,
        replaces: Option<TokenPair>,
    ) -> (Issued, NewTokens) {
        let part = self.part(user);
        let env = self.data().env();
        let ends = |lifetime: Duration| self.now_ms().saturating_add(millis(lifetime));
        let expires_in = refreshable.then_some(self.settings().access_token_lifetime);
        let (access_text, access) = TokenKind::Access.make(env, part);
        let access_row = StoredToken {
            device: device.to_owned(),
            expires_ms: expires_in.map(ends),
            replaces,
            kind: StoredTokenKind::Access { refreshable },
        };
        write.put_version::<TokenRow>(part, &access, 1, &access_row);
        let refresh = refreshable.then(|| {
            let (text, refresh) = match family {
                Some(family) => TokenKind::Refresh.make_in_family(env, part, family),
                None => TokenKind::Refresh.make(env, part),
            };
            let row = StoredToken {
                device: device.to_owned(),
                expires_ms: self.settings().refresh_token_lifetime.map(ends),
                replaces,
                kind: StoredTokenKind::Refresh { access, next: None },
            };
            write.put_version::<TokenRow>(part, &refresh, 1, &row);
            (text, refresh)
        });
        let (refresh_text, refresh) = refresh.unzip();
        let issued = Issued {
            user_id: user.to_owned(),
            device_id: device.to_owned(),
            access_token: Secret::new(access_text),
            refresh_token: refresh_text.map(Secret::new),
            expires_in,
        };
        (issued, NewTokens { access, refresh })
    }

    fn new_device_id(&self) -> OwnedDeviceId {
        let random: [u8; DEVICE_ID_LENGTH] = self.data().env().random();
        let letters: String = random.iter().map(|byte| char::from(b'A' + byte % 26)).collect();
        letters.into()
    }

    /// Make memory forget tokens that have just been removed from the store.
    pub(crate) fn end_sessions(&self, tokens: &[TokenHash]) {
        for token in tokens {
            self.0.sessions.forget(token);
        }
    }
}

/// Whether there is to be a refresh token, and its family if it is an OAuth session's.
struct Refreshable<'f>(bool, Option<&'f str>);

#[derive(Clone, Copy)]
struct NewTokens {
    access: TokenHash,
    refresh: Option<TokenHash>,
}

impl NewTokens {
    fn pair(self) -> Option<TokenPair> {
        self.refresh.map(|refresh| TokenPair { access: self.access, refresh })
    }

    fn hashes(self) -> impl Iterator<Item = TokenHash> {
        std::iter::once(self.access).chain(self.refresh)
    }
}

fn del_pair(write: &mut Write, part: Part, pair: &TokenPair) {
    write.del::<TokenRow>(part, &pair.access);
    write.del::<TokenRow>(part, &pair.refresh);
}

fn put_device(
    write: &mut Write,
    part: Part,
    device: &DeviceId,
    version: u64,
    value: &StoredDevice,
) {
    let key = device.to_owned();
    write.require_version::<DeviceRow>(part, &key, version);
    write.put_version::<DeviceRow>(part, &key, version + 1, value);
}
