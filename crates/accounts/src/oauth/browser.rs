//! Browsers in which a person is signed in to the account pages.

use std::time::Duration;

use blaupause_data::{DataError, ReadSet, Write};
use ruma::{OwnedUserId, UserId};

use super::rows::BrowserRow;
use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Origin, Secret,
    origin::{self, Opened},
    registration::millis,
    rows::{AccountRow, OriginRow, PasswordHash},
    secret::TokenKind,
    signin::password::Verdict,
};

/// A person stays signed in to the pages for so long: a working day.
const BROWSER_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Browsers of one user at once; a new one ends the oldest.
const BROWSERS_MAX: usize = 20;

/// A browser in which somebody is signed in.
#[derive(Clone, Debug)]
pub struct Browser {
    pub user_id: OwnedUserId,
    /// Whether the person has a password to be asked for.
    pub has_password: bool,
    /// Whether the account is suspended: reading is allowed, changing what others see is not.
    pub is_suspended: bool,
    /// Who vouched for the person; `None`: they signed in here.
    pub origin: Option<Origin>,
}

impl Accounts {
    /// Sign in to the account pages with a password; `name` as for
    /// [`Accounts::sign_in_with_password`], under the same limits. Answers the cookie.
    ///
    /// # Errors
    /// Name or password are wrong, or the account is deactivated, which is not told apart; there
    /// were too many wrong ones; the account is locked; passwords are switched off; or the store
    /// failed.
    pub async fn open_browser(
        &self,
        name: &str,
        password: &Secret,
    ) -> Result<Secret, AccountsError> {
        if !self.settings().password_login {
            return Err(AccountsError::SignInNotOffered);
        }
        let user = self.named_user(name);
        let account = self.stored_account(&user).await?;
        let stored = account.as_ref().map(|found| &found.value);
        let verdict = self.verify(&user, stored, password).await?;
        let Some(account) = account.filter(|account| account.deactivated_ms.is_none()) else {
            return Err(AccountsError::WrongPassword);
        };
        let Verdict::Fits { outdated } = verdict else { return Err(AccountsError::WrongPassword) };
        if account.locked {
            return Err(AccountsError::Locked);
        }
        let renewed =
            if outdated { Some(self.hash_password(password.clone()).await) } else { None };
        self.add_browser(&user, renewed, None).await
    }

    /// Sign in somebody who has just proved who they are, or made the account.
    ///
    /// # Errors
    /// The account is unknown, deactivated or locked, or the store failed.
    pub async fn open_browser_as(&self, user: &UserId) -> Result<Secret, AccountsError> {
        self.add_browser(user, None, None).await
    }

    /// Sign in somebody whom another identity provider vouches for.
    ///
    /// # Errors
    /// As for [`Self::open_browser_as`].
    pub async fn open_browser_from(
        &self,
        user: &UserId,
        origin: &Origin,
    ) -> Result<Secret, AccountsError> {
        self.add_browser(user, None, Some(origin)).await
    }

    async fn add_browser(
        &self,
        user: &UserId,
        renewed: Option<PasswordHash>,
        origin: Option<&Origin>,
    ) -> Result<Secret, AccountsError> {
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let account = self.stored_account(user).await?.ok_or(AccountsError::UserUnknown)?;
            if account.deactivated_ms.is_some() {
                return Err(AccountsError::Deactivated);
            }
            if account.locked {
                return Err(AccountsError::Locked);
            }
            let now = self.now_ms();
            let old = self.data().list::<BrowserRow>(part, &(), 10 * BROWSERS_MAX as u32).await?;
            let mut old: Vec<_> =
                old.rows.into_iter().map(|(hash, ends)| (ends.value, hash)).collect();
            old.sort_unstable();
            let too_many = (old.len() + 1).saturating_sub(BROWSERS_MAX);
            let mut write = Write::new(part);
            for (index, (ends, hash)) in old.iter().enumerate() {
                if index < too_many || *ends <= now {
                    write.del::<BrowserRow>(part, hash);
                    origin::put(&mut write, part, Opened::Browser(hash), None);
                }
            }
            let (text, hash) = TokenKind::Browser.make(self.data().env(), part);
            // Nobody comes in while the account is closed or its password changed.
            write.require_version::<AccountRow>(part, &(), account.version);
            if let Some(password) = &renewed {
                let mut value = account.value;
                value.password = Some(password.clone());
                write.put_version::<AccountRow>(part, &(), account.version + 1, &value);
            }
            write.put::<BrowserRow>(part, &hash, &now.saturating_add(millis(BROWSER_LIFETIME)));
            if origin.is_some() {
                origin::put(&mut write, part, Opened::Browser(&hash), origin);
            }
            match self.data().commit(write).await {
                Ok(_) => return Ok(Secret::new(text)),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// Who is signed in with this cookie; `None` if nobody. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn browser(&self, cookie: &str) -> Result<Option<Browser>, AccountsError> {
        let Some((part, hash)) = TokenKind::Browser.parse(cookie) else { return Ok(None) };
        let mut want = ReadSet::new();
        let ends = want.get::<BrowserRow>(part, &hash);
        let account = want.get::<AccountRow>(part, &());
        let origin = want.get::<OriginRow>(part, &Opened::Browser(&hash).key());
        let got = want.run(self.data()).await?;
        let origin = got.one(origin)?.map(|found| found.value);
        let is_alive = got.one(ends)?.is_some_and(|ends| ends.value > self.now_ms());
        let account = got.one(account)?.filter(|account| {
            is_alive && account.deactivated_ms.is_none() && !account.locked && !account.guest
        });
        Ok(account.map(|account| Browser {
            has_password: account.password.is_some(),
            is_suspended: account.suspended,
            origin,
            user_id: account.value.user_id,
        }))
    }

    /// Sign out of the account pages. A cookie that nobody has is no error.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_browser(&self, cookie: &str) -> Result<(), AccountsError> {
        let Some((part, hash)) = TokenKind::Browser.parse(cookie) else { return Ok(()) };
        // The partition is a stranger's claim: only what exists is removed.
        if self.data().get::<BrowserRow>(part, &hash).await?.is_some() {
            let mut write = Write::new(part);
            write.del::<BrowserRow>(part, &hash);
            origin::put(&mut write, part, Opened::Browser(&hash), None);
            self.data().commit(write).await?;
        }
        Ok(())
    }
}
