//! New accounts.

use std::time::Duration;

use blaupause_data::{Change, DIRECTORY, DataError, Write};
use ruma::{OwnedUserId, UserId};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Issued, ProvedAddress, RegistrationMode, Secret, SignIn,
    names::{Chosen, new_user_id},
    rows::{
        AccountRow, LocalUserRow, ProfileRow, RegistrationTokenRow, StoredAccount, StoredLocalUser,
        StoredProfile,
    },
    signin::password,
};

/// A person who registers. Authentication has been done by then.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// The wanted local part; `None`: the server chooses.
    pub username: Option<String>,
    /// Needed, except for guests.
    pub password: Option<Secret>,
    /// `None`: the account is made without signing in (`inhibit_login`).
    pub sign_in: Option<SignIn>,
    /// A guest: no password, few rights.
    pub guest: bool,
    /// The registration token that was accepted; one of its uses is taken.
    pub token: Option<String>,
    /// A mail address that the person has proved to be theirs.
    pub email: Option<ProvedAddress>,
}

/// An account was made.
#[derive(Clone, Debug)]
pub struct Registered {
    pub user_id: OwnedUserId,
    /// The new session, if one was wanted.
    pub issued: Option<Issued>,
}

/// Somebody for whom an account is made because others vouch for them.
#[derive(Clone, Debug, Default)]
pub struct Newcomer {
    pub localpart: String,
    /// At first; `None`: the local part. Must not be longer than a display name may be.
    pub display_name: Option<String>,
}

/// What is written with an account.
#[derive(Clone, Copy)]
struct More<'m> {
    display_name: Option<&'m str>,
    email: Option<&'m ProvedAddress>,
    also: &'m (dyn Fn(&mut Write) + Sync),
}

/// What an account will be.
pub(crate) struct Plan {
    pub user_id: OwnedUserId,
    pub admin: bool,
    pub guest: bool,
    pub token: Option<String>,
}

impl Accounts {
    /// The id that a new user of this name would have.
    ///
    /// # Errors
    /// The name is impossible, reserved or taken, or the store failed.
    pub async fn check_username(&self, username: &str) -> Result<OwnedUserId, AccountsError> {
        let user = self.free_user_id(username)?;
        match self.data().get::<AccountRow>(self.part(&user), &()).await? {
            Some(_) => Err(AccountsError::UserInUse),
            None => Ok(user),
        }
    }

    fn free_user_id(&self, username: &str) -> Result<OwnedUserId, AccountsError> {
        let user = new_user_id(username, self.data().server_name(), Chosen::Freely)?;
        if self.services().keep_user_from(None, &user) {
            return Err(AccountsError::Exclusive);
        }
        Ok(user)
    }

    /// Whether a new password is good enough.
    ///
    /// # Errors
    /// It is too short or too long.
    pub fn check_new_password(&self, password: &str) -> Result<(), AccountsError> {
        if password.len() > password::BYTES_MAX {
            return Err(AccountsError::WeakPassword("it has more than 512 bytes"));
        }
        let is_short = password.chars().count() < self.settings().password_length_min.max(1);
        match self.settings().password_rules {
            Some(rules) => rules.check(password, is_short).map_err(AccountsError::PasswordFlaw),
            None if is_short => Err(AccountsError::WeakPassword("it is too short")),
            None => Ok(()),
        }
    }

    /// Make an account for a person who registers, in one batch with their first session.
    ///
    /// # Errors
    /// Registration is closed for such accounts; the name is impossible, reserved or taken; the
    /// password is weak or missing; the token is not valid; or the store failed.
    pub async fn register(&self, wanted: Registration) -> Result<Registered, AccountsError> {
        if wanted.guest {
            if !self.settings().guests {
                return Err(AccountsError::GuestsClosed);
            }
            let user_id = self.chosen_user_id(true)?;
            let plan = Plan { user_id, admin: false, guest: true, token: None };
            return self.add_account(plan, None, wanted.sign_in).await;
        }
        match (self.settings().registration, &wanted.token) {
            (RegistrationMode::Closed, _) => return Err(AccountsError::RegistrationClosed),
            (RegistrationMode::Token, None) => return Err(AccountsError::WrongRegistrationToken),
            _ => {}
        }
        let user_id = match &wanted.username {
            Some(name) => self.free_user_id(name)?,
            None => self.chosen_user_id(false)?,
        };
        if wanted.password.is_none() {
            return Err(AccountsError::WeakPassword("there is none"));
        }
        if self.settings().email_needed && wanted.email.is_none() {
            return Err(AccountsError::AddressNeeded);
        }
        let plan = Plan { user_id, admin: false, guest: false, token: wanted.token };
        let more = More { display_name: None, email: wanted.email.as_ref(), also: &|_| {} };
        self.add_account_with(plan, wanted.password, wanted.sign_in, more).await
    }

    /// A name for somebody who did not choose one: digits for guests, letters for others.
    fn chosen_user_id(&self, guest: bool) -> Result<OwnedUserId, AccountsError> {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let name = if guest {
            // 60 bits: two guests do not meet.
            (u64::from_be_bytes(self.data().env().random()) >> 4).to_string()
        } else {
            let random: [u8; 14] = self.data().env().random();
            // A letter first, so that the name is not of digits only.
            let letters = random.iter().map(|b| char::from(LETTERS[usize::from(b % 32)]));
            std::iter::once('u').chain(letters).collect()
        };
        new_user_id(&name, self.data().server_name(), Chosen::ByServer)
    }

    /// Make an account for somebody whom others vouch for, whether or not registration is open.
    /// `also` adds to the batch what binds them to it; a precondition of it that does not hold ends
    /// in [`AccountsError::Busy`].
    ///
    /// # Errors
    /// The name is impossible, reserved or taken, or the store failed.
    pub async fn create_for(
        &self,
        newcomer: &Newcomer,
        also: &(dyn Fn(&mut Write) + Sync),
    ) -> Result<OwnedUserId, AccountsError> {
        let server = self.data().server_name();
        let user_id = new_user_id(&newcomer.localpart, server, Chosen::ByOperator)?;
        if self.services().keep_user_from(None, &user_id) {
            return Err(AccountsError::Exclusive);
        }
        let plan = Plan { user_id, admin: false, guest: false, token: None };
        let more = More { display_name: newcomer.display_name.as_deref(), email: None, also };
        Ok(self.add_account_with(plan, None, None, more).await?.user_id)
    }

    pub(crate) async fn add_account(
        &self,
        plan: Plan,
        password: Option<Secret>,
        sign_in: Option<SignIn>,
    ) -> Result<Registered, AccountsError> {
        let more = More { display_name: None, email: None, also: &|_| {} };
        self.add_account_with(plan, password, sign_in, more).await
    }

    async fn add_account_with(
        &self,
        plan: Plan,
        password: Option<Secret>,
        sign_in: Option<SignIn>,
        more: More<'_>,
    ) -> Result<Registered, AccountsError> {
        let user = plan.user_id.clone();
        let part = self.part(&user);
        // Before the expensive hash; the precondition below decides.
        if self.data().get::<AccountRow>(part, &()).await?.is_some() {
            return Err(AccountsError::UserInUse);
        }
        let password = match password {
            Some(password) => {
                self.check_new_password(password.reveal())?;
                Some(self.hash_password(password).await)
            }
            None => None,
        };
        let account = StoredAccount {
            user_id: user.clone(),
            created_ms: self.now_ms(),
            guest: plan.guest,
            admin: plan.admin,
            suspended: false,
            locked: false,
            deactivated_ms: None,
            erased: false,
            password,
        };
        for _ in 0..ATTEMPTS_MAX {
            let mut write = Write::new(part);
            write.require_absent::<AccountRow>(part, &());
            write.put_version::<AccountRow>(part, &(), 1, &account);
            self.add_first_profile(&mut write, &user, plan.guest, more.display_name);
            (more.also)(&mut write);
            if let Some(email) = more.email {
                self.claim_address(&mut write, &user, email).await?;
            }
            if let Some(token) = &plan.token {
                self.use_registration_token(&mut write, token).await?;
            }
            let issued = sign_in
                .as_ref()
                .map(|how| self.add_session(&mut write, &user, how, None))
                .transpose()?;
            match self.data().commit(write).await {
                Ok(_) => return Ok(Registered { user_id: user, issued: issued.map(|i| i.0) }),
                Err(DataError::Conflict { pre: 0 }) => return Err(AccountsError::UserInUse),
                // Somebody else used the registration token.
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// Others see the local part until the user chooses a name; searches find it.
    fn add_first_profile(
        &self,
        write: &mut Write,
        user: &UserId,
        guest: bool,
        display_name: Option<&str>,
    ) {
        let display_name = Some(display_name.unwrap_or(user.localpart()).to_owned());
        let profile = StoredProfile { display_name: display_name.clone(), ..Default::default() };
        write.put_version::<ProfileRow>(self.part(user), &(), 1, &profile);
        if !guest {
            let entry = StoredLocalUser { display_name, avatar_url: None };
            write.put::<LocalUserRow>(DIRECTORY, &user.localpart().to_owned(), &entry);
        }
        write.change(&Change::Profile { user: user.to_owned() });
    }

    /// Take one of the uses of a token in the batch of the account that uses it.
    async fn use_registration_token(
        &self,
        write: &mut Write,
        token: &str,
    ) -> Result<(), AccountsError> {
        if self.is_configured_token(token) {
            return Ok(());
        }
        let key = token.to_owned();
        let found = self.data().get::<RegistrationTokenRow>(DIRECTORY, &key).await?;
        let found = found
            .filter(|found| found.is_valid(self.now_ms()))
            .ok_or(AccountsError::WrongRegistrationToken)?;
        let mut value = found.value;
        value.uses += 1;
        write.require_version::<RegistrationTokenRow>(DIRECTORY, &key, found.version);
        write.put_version::<RegistrationTokenRow>(DIRECTORY, &key, found.version + 1, &value);
        Ok(())
    }
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
