//! Accounts as a whole: made, looked up, changed, closed.

use blaupause_data::{Change, DIRECTORY, DataError, Found, Write};
use ruma::{OwnedUserId, UserId};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError,
    names::Chosen,
    oauth::rows::{AuthCodeRow, BrowserRow, OAuthSessionRow, ResetRow},
    registration::Plan,
    rows::{
        AccountDataRow, AccountRow, DehydratedRow, DeviceRow, FilterRow, LastSeenRow, LocalUserRow,
        LoginTokenRow, OpenIdRow, OriginRow, ProfileRow, StoredAccount, TokenRow,
    },
};

/// An account that an operator makes.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The part of the user id between `@` and `:`.
    pub localpart: String,
    /// `None`: cannot sign in with a password.
    pub password: Option<crate::Secret>,
    /// Server administrator.
    pub admin: bool,
}

/// An account as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    pub user_id: OwnedUserId,
    pub created_ms: u64,
    pub guest: bool,
    pub admin: bool,
    pub suspended: bool,
    pub locked: bool,
    pub deactivated: bool,
    /// Whether the user can sign in with a password.
    pub has_password: bool,
}

impl Accounts {
    /// Make an account, whether or not registration is open.
    ///
    /// # Errors
    /// The name is impossible or taken, the password is weak, or the store failed.
    pub async fn create(&self, new: NewAccount) -> Result<OwnedUserId, AccountsError> {
        let user_id = crate::names::new_user_id(
            &new.localpart,
            self.data().server_name(),
            Chosen::ByOperator,
        )?;
        let plan = Plan { user_id, admin: new.admin, guest: false, token: None };
        let made = self.add_account(plan, new.password, None).await?;
        Ok(made.user_id)
    }

    /// An account of this server; `None` if there never was one. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account(&self, user: &UserId) -> Result<Option<AccountInfo>, AccountsError> {
        Ok(self.stored_account(user).await?.map(|account| account.value.into()))
    }

    /// Whether somebody here has this id and has not been deactivated. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_active(&self, user: &UserId) -> Result<bool, AccountsError> {
        let account = self.stored_account(user).await?;
        Ok(account.is_some_and(|account| account.deactivated_ms.is_none()))
    }

    pub(crate) async fn stored_account(
        &self,
        user: &UserId,
    ) -> Result<Option<Found<StoredAccount>>, AccountsError> {
        if !self.data().is_local(user) {
            return Ok(None);
        }
        let found = self.data().get::<AccountRow>(self.part(user), &()).await?;
        Ok(found.filter(|account| account.user_id == user))
    }

    /// Make or unmake a server administrator.
    ///
    /// # Errors
    /// The user is unknown or deactivated, or the store failed.
    pub async fn set_admin(&self, user: &UserId, admin: bool) -> Result<(), AccountsError> {
        self.change_account(user, |account| account.admin = admin).await
    }

    /// Lock an account: its sessions stop working until it is unlocked.
    ///
    /// # Errors
    /// As for [`Self::set_admin`].
    pub async fn set_locked(&self, user: &UserId, locked: bool) -> Result<(), AccountsError> {
        self.change_account(user, |account| account.locked = locked).await
    }

    /// Suspend an account: what a suspended user may still do is decided where it is done.
    ///
    /// # Errors
    /// As for [`Self::set_admin`].
    pub async fn set_suspended(&self, user: &UserId, suspended: bool) -> Result<(), AccountsError> {
        self.change_account(user, |account| account.suspended = suspended).await
    }

    /// Change an account and end what is kept in memory about its sessions.
    pub(crate) async fn change_account(
        &self,
        user: &UserId,
        change: impl Fn(&mut StoredAccount),
    ) -> Result<(), AccountsError> {
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let account = self.stored_account(user).await?.ok_or(AccountsError::UserUnknown)?;
            if account.deactivated_ms.is_some() {
                return Err(AccountsError::Deactivated);
            }
            let mut value = account.value;
            change(&mut value);
            let mut write = Write::new(part);
            write.require_version::<AccountRow>(part, &(), account.version);
            write.put_version::<AccountRow>(part, &(), account.version + 1, &value);
            match self.data().commit(write).await {
                Ok(_) => {
                    self.0.sessions.forget_where(|_, session| session.user_id == user);
                    return Ok(());
                }
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// Close an account for good: nobody can sign in to it, its name stays taken; sessions,
    /// devices, profile, account data and filters are gone when this returns. Rooms are left by
    /// whoever follows [`Change::Deactivated`]. Deactivating twice is no error.
    ///
    /// `erase`: the user wants their messages hidden from people who join later.
    ///
    /// # Errors
    /// The user is unknown, or the store failed.
    pub async fn deactivate(&self, user: &UserId, erase: bool) -> Result<(), AccountsError> {
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let account = self.stored_account(user).await?.ok_or(AccountsError::UserUnknown)?;
            let mut value = account.value;
            value.deactivated_ms = value.deactivated_ms.or(Some(self.now_ms()));
            value.erased |= erase;
            value.password = None;
            value.admin = false;
            let mut write = Write::new(part);
            write.require_version::<AccountRow>(part, &(), account.version);
            write.put_version::<AccountRow>(part, &(), account.version + 1, &value);
            write.del_prefix::<TokenRow>(part, &());
            write.del_prefix::<LoginTokenRow>(part, &());
            write.del_prefix::<OpenIdRow>(part, &());
            write.del_prefix::<DeviceRow>(part, &());
            write.del::<DehydratedRow>(part, &());
            write.del_prefix::<OAuthSessionRow>(part, &());
            write.del_prefix::<AuthCodeRow>(part, &());
            write.del_prefix::<BrowserRow>(part, &());
            write.del_prefix::<OriginRow>(part, &());
            write.del::<ResetRow>(part, &());
            write.del_prefix::<LastSeenRow>(part, &());
            write.del_prefix::<AccountDataRow>(part, &());
            write.del_prefix::<FilterRow>(part, &());
            self.release_all_addresses(&mut write, user).await?;
            write.del::<ProfileRow>(part, &());
            write.del::<LocalUserRow>(DIRECTORY, &user.localpart().to_owned());
            write.change(&Change::Devices { user: user.to_owned() });
            write.change(&Change::Deactivated { user: user.to_owned() });
            match self.data().commit(write).await {
                Ok(_) => {
                    self.0.sessions.forget_where(|_, session| session.user_id == user);
                    return Ok(());
                }
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }
}

impl From<StoredAccount> for AccountInfo {
    fn from(account: StoredAccount) -> Self {
        Self {
            user_id: account.user_id,
            created_ms: account.created_ms,
            guest: account.guest,
            admin: account.admin,
            suspended: account.suspended,
            locked: account.locked,
            deactivated: account.deactivated_ms.is_some(),
            has_password: account.password.is_some(),
        }
    }
}
