//! Passwords, as Argon2id hashes.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash as Phc, PasswordHasher, PasswordVerifier, Version,
    password_hash::SaltString,
};
use blaupause_data::{DataError, Write};
use ruma::UserId;

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Argon2Cost, Secret,
    oauth::rows::BrowserRow,
    origin,
    rows::{AccountRow, PasswordHash, StoredAccount},
};

/// Bytes of a password. Longer ones are not hashed: the time would be the sender's to choose.
pub(crate) const BYTES_MAX: usize = 512;

/// Whether a password fits, and whether its hash should be made anew.
pub(crate) enum Verdict {
    Fits { outdated: bool },
    Wrong,
}

impl Accounts {
    /// Check the password of a user who asks for something that needs it once more.
    ///
    /// # Errors
    /// It is wrong, the user has none, there were too many wrong ones, or the store failed.
    pub async fn check_password(
        &self,
        user: &UserId,
        password: &Secret,
    ) -> Result<(), AccountsError> {
        let account = self.stored_account(user).await?;
        let active = account.filter(|account| account.deactivated_ms.is_none());
        match self.verify(user, active.as_ref().map(|account| &account.value), password).await? {
            Verdict::Fits { .. } => Ok(()),
            Verdict::Wrong => Err(AccountsError::WrongPassword),
        }
    }

    /// Give a user a new password. What else is to end (sessions) is up to the caller.
    ///
    /// # Errors
    /// The password is weak, the user is unknown or deactivated, or the store failed.
    pub async fn set_password(&self, user: &UserId, new: Secret) -> Result<(), AccountsError> {
        self.set_password_and(user, new, |_| {}).await
    }

    /// The same in one batch with what allows it. A precondition of `also` that does not hold ends
    /// in [`AccountsError::Busy`].
    pub(crate) async fn set_password_and(
        &self,
        user: &UserId,
        new: Secret,
        also: impl Fn(&mut Write),
    ) -> Result<(), AccountsError> {
        self.check_new_password(new.reveal())?;
        let hash = self.hash_password(new).await;
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let account = self.stored_account(user).await?.ok_or(AccountsError::UserUnknown)?;
            if account.deactivated_ms.is_some() {
                return Err(AccountsError::Deactivated);
            }
            let mut value = account.value;
            value.password = Some(hash.clone());
            let mut write = Write::new(part);
            write.require_version::<AccountRow>(part, &(), account.version);
            write.put_version::<AccountRow>(part, &(), account.version + 1, &value);
            // Whoever knew the old one is out of the account pages, too.
            write.del_prefix::<BrowserRow>(part, &());
            origin::forget_browsers(&mut write, part);
            also(&mut write);
            match self.data().commit(write).await {
                Ok(_) => return Ok(()),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    pub(crate) async fn hash_password(&self, password: Secret) -> PasswordHash {
        let cost = self.settings().argon2;
        let salt: [u8; 16] = self.data().env().random();
        self.data().env().cpu(move || hash(cost, salt, &password)).await
    }

    /// Takes as long for unknown users and users without a password as for others.
    pub(crate) async fn verify(
        &self,
        user: &UserId,
        account: Option<&StoredAccount>,
        password: &Secret,
    ) -> Result<Verdict, AccountsError> {
        self.count_try(user)?;
        let verdict = self.compare(account, password).await;
        if matches!(verdict, Verdict::Fits { .. }) {
            self.forget_failed(user);
        }
        Ok(verdict)
    }

    async fn compare(&self, account: Option<&StoredAccount>, password: &Secret) -> Verdict {
        if password.reveal().is_empty() || password.reveal().len() > BYTES_MAX {
            return Verdict::Wrong;
        }
        let Some(stored) = account.and_then(|account| account.password.clone()) else {
            self.hash_password(password.clone()).await;
            return Verdict::Wrong;
        };
        let cost = self.settings().argon2;
        let password = password.clone();
        self.data().env().cpu(move || verify(cost, &stored, &password)).await
    }
}

fn params(cost: Argon2Cost) -> Params {
    // The configuration is checked at the start; if a value is impossible nevertheless, the
    // library's own default (19 MiB, 2 passes) is a safe one.
    Params::new(cost.memory_kib, cost.passes, cost.lanes, None).unwrap_or_default()
}

fn hash(cost: Argon2Cost, salt: [u8; 16], password: &Secret) -> PasswordHash {
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a valid salt");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params(cost));
    let phc = argon2
        .hash_password(password.reveal().as_bytes(), &salt)
        .expect("salt and password have valid lengths");
    PasswordHash(phc.to_string())
}

fn verify(cost: Argon2Cost, stored: &PasswordHash, password: &Secret) -> Verdict {
    let Ok(phc) = Phc::new(&stored.0) else { return Verdict::Wrong };
    // The cost is the one in the hash, not the current one.
    if Argon2::default().verify_password(password.reveal().as_bytes(), &phc).is_err() {
        return Verdict::Wrong;
    }
    let wanted = params(cost);
    let outdated = Params::try_from(&phc).map_or(true, |had| {
        (had.m_cost(), had.t_cost(), had.p_cost())
            != (wanted.m_cost(), wanted.t_cost(), wanted.p_cost())
    });
    Verdict::Fits { outdated }
}
