//! Signing in.

pub(crate) mod password;

use std::time::Duration;

use blaupause_data::{DataError, Found, ReadSet, Write};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Origin, Secret, Session,
    origin::{self, Opened},
    registration::millis,
    rows::{AccountRow, DeviceRow, LoginTokenRow, OriginRow, StoredAccount},
    secret::TokenKind,
};
use password::Verdict;

/// A login token is good for so long (spec: "2 minutes or less").
const LOGIN_TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 60);
/// Login tokens that a user may have at once.
const LOGIN_TOKENS_MAX: u32 = 20;

/// What the client wants of the new session.
#[derive(Clone, Debug, Default)]
pub struct SignIn {
    /// `None`: a new device. A known device keeps its keys, its old tokens end.
    pub device_id: Option<OwnedDeviceId>,
    /// For a new device.
    pub device_name: Option<String>,
    /// The client can refresh: it gets an access token that ends soon and a refresh token.
    pub refresh: bool,
    /// Who vouched for the person; `None`: this server knows them.
    pub origin: Option<Origin>,
}

/// A new session.
#[derive(Clone, Debug)]
pub struct Issued {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    /// How long the access token lives; `None`: until it is revoked.
    pub expires_in: Option<Duration>,
}

/// A token for one login on another device.
#[derive(Clone, Debug)]
pub struct LoginToken {
    pub token: Secret,
    pub expires_in: Duration,
}

impl Accounts {
    /// Sign in with a password. `name` is a local part or a full user id of this server, in any
    /// case. An unknown name takes as long as a wrong password and gives the same error.
    ///
    /// # Errors
    /// Name or password are wrong; there were too many wrong ones; the account is deactivated or locked; passwords are switched
    /// off; or the store failed.
    pub async fn sign_in_with_password(
        &self,
        name: &str,
        password: &Secret,
        how: &SignIn,
    ) -> Result<Issued, AccountsError> {
        if !self.settings().password_login {
            return Err(AccountsError::SignInNotOffered);
        }
        let user = self.named_user(name);
        for _ in 0..ATTEMPTS_MAX {
            let account = self.stored_account(&user).await?;
            let stored = account.as_ref().map(|found| &found.value);
            let verdict = self.verify(&user, stored, password).await?;
            let Some(account) = account else { return Err(AccountsError::WrongPassword) };
            if account.deactivated_ms.is_some() {
                return Err(AccountsError::Deactivated);
            }
            let Verdict::Fits { outdated } = verdict else {
                return Err(AccountsError::WrongPassword);
            };
            let mut renewed = None;
            if outdated {
                let mut value = account.value.clone();
                value.password = Some(self.hash_password(password.clone()).await);
                renewed = Some(value);
            }
            match self.open_session(&account, renewed, how, |_| {}).await {
                // The account or the device changed meanwhile: look again.
                Err(AccountsError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(AccountsError::Busy)
    }

    /// The user that a person may mean. Everything that cannot be a user here is the same nobody.
    pub(crate) fn named_user(&self, name: &str) -> OwnedUserId {
        let name = name.to_lowercase();
        let server = self.data().server_name();
        let named = if name.starts_with('@') {
            UserId::parse(name)
        } else {
            UserId::parse_with_server_name(name, server)
        };
        let local = named.ok().filter(|user| self.data().is_local(user));
        local.unwrap_or_else(|| {
            UserId::parse(format!("@:{server}")).expect("an empty local part is possible")
        })
    }

    /// Sign in with a token from [`Self::login_token`], once.
    ///
    /// # Errors
    /// The token is unknown, used or too old; the account is deactivated or locked; or the store
    /// failed.
    pub async fn sign_in_with_token(
        &self,
        token: &str,
        how: &SignIn,
    ) -> Result<Issued, AccountsError> {
        let (part, hash) = TokenKind::Login.parse(token).ok_or(AccountsError::WrongLoginToken)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut want = ReadSet::new();
            let token = want.get::<LoginTokenRow>(part, &hash);
            let account = want.get::<AccountRow>(part, &());
            let origin = want.get::<OriginRow>(part, &Opened::Login(&hash).key());
            let got = want.run(self.data()).await?;
            let ends = got.one(token)?;
            let account = got.one(account)?.filter(|_| ends.is_some());
            let account = account.ok_or(AccountsError::WrongLoginToken)?;
            if ends.is_none_or(|ends| ends.value <= self.now_ms()) {
                return Err(AccountsError::WrongLoginToken);
            }
            let origin = got.one(origin)?.map(|found| found.value);
            let how = SignIn { origin, ..how.clone() };
            let used = |write: &mut Write| {
                write.require_version::<LoginTokenRow>(part, &hash, 1);
                write.del::<LoginTokenRow>(part, &hash);
                origin::put(write, part, Opened::Login(&hash), None);
            };
            match self.open_session(&account, None, &how, used).await {
                Err(AccountsError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(AccountsError::Busy)
    }

    /// Sign in somebody whom others vouch for: `how.origin` says who.
    ///
    /// # Errors
    /// The account is unknown, deactivated or locked, or the store failed.
    pub async fn sign_in_as(&self, user: &UserId, how: &SignIn) -> Result<Issued, AccountsError> {
        for _ in 0..ATTEMPTS_MAX {
            let account = self.stored_account(user).await?.ok_or(AccountsError::UserUnknown)?;
            match self.open_session(&account, None, how, |_| {}).await {
                Err(AccountsError::Data(DataError::Conflict { .. })) => {}
                done => return done,
            }
        }
        Err(AccountsError::Busy)
    }

    /// A token with which the user signs in on another device. `origin`: where the session came
    /// from in which they ask for it.
    ///
    /// # Errors
    /// There are too many, or the store failed.
    pub async fn login_token(
        &self,
        user: &UserId,
        origin: Option<&Origin>,
    ) -> Result<LoginToken, AccountsError> {
        let part = self.part(user);
        let now = self.now_ms();
        let mut write = Write::new(part);
        let page = self.data().list::<LoginTokenRow>(part, &(), LOGIN_TOKENS_MAX + 1).await?;
        let alive = page.rows.iter().filter(|(_, ends)| ends.value > now).count();
        if alive >= LOGIN_TOKENS_MAX as usize {
            return Err(AccountsError::TooMany("login tokens"));
        }
        for (old, _) in page.rows.iter().filter(|(_, ends)| ends.value <= now) {
            write.del::<LoginTokenRow>(part, old);
            origin::put(&mut write, part, Opened::Login(old), None);
        }
        let (text, hash) = TokenKind::Login.make(self.data().env(), part);
        let ends = now + millis(LOGIN_TOKEN_LIFETIME);
        write.put_version::<LoginTokenRow>(part, &hash, 1, &ends);
        if origin.is_some() {
            origin::put(&mut write, part, Opened::Login(&hash), origin);
        }
        self.data().commit(write).await?;
        Ok(LoginToken { token: Secret::new(text), expires_in: LOGIN_TOKEN_LIFETIME })
    }

    /// Open a session in one batch with what led to it. Conflicts if the account or the device
    /// changed since they were read.
    async fn open_session(
        &self,
        account: &Found<StoredAccount>,
        renewed: Option<StoredAccount>,
        how: &SignIn,
        also: impl FnOnce(&mut Write),
    ) -> Result<Issued, AccountsError> {
        if account.deactivated_ms.is_some() {
            return Err(AccountsError::Deactivated);
        }
        if account.locked {
            return Err(AccountsError::Locked);
        }
        let user = &account.user_id;
        let part = self.part(user);
        let device = match &how.device_id {
            Some(device) => self.data().get::<DeviceRow>(part, device).await?,
            None => None,
        };
        if device.is_none() {
            self.check_room_for_device(user).await?;
        }
        let mut write = Write::new(part);
        write.require_version::<AccountRow>(part, &(), account.version);
        if let Some(renewed) = renewed {
            write.put_version::<AccountRow>(part, &(), account.version + 1, &renewed);
        }
        also(&mut write);
        let (issued, ended) = self.add_session(&mut write, user, how, device)?;
        self.data().commit(write).await?;
        self.end_sessions(&ended);
        Ok(issued)
    }

    /// End a session: its device and its tokens are gone when this returns. Keys and messages of
    /// the device must have been removed before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_out(&self, session: &Session) -> Result<(), AccountsError> {
        let devices: Vec<_> = session.device_id.iter().cloned().collect();
        self.delete_devices(&session.user_id, &devices).await
    }
}
