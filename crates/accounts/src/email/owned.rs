//! Whose an address is. At most one account's: the row under the address says so.

use blaupause_data::{DataError, Part, Write};
use ruma::{OwnedUserId, UserId};

use super::{
    EMAIL, EmailAddress, ProofPurpose, ProvedAddress,
    rows::{AddressOwnerRow, AddressRow, StoredAddress, StoredAddressOwner},
};
use crate::{ATTEMPTS_MAX, Accounts, AccountsError, rows::AccountRow};

/// Addresses that an account may have.
const ADDRESSES_MAX: u32 = 10;

/// An address of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedAddress {
    /// `email`.
    pub medium: String,
    pub address: String,
    /// Milliseconds since the Unix epoch.
    pub validated_ms: u64,
    pub added_ms: u64,
}

fn name_of(medium: &str, address: &str) -> String {
    format!("{medium}/{address}")
}

impl Accounts {
    fn address_part(&self, name: &str) -> Part {
        self.data().parts().named(b'T', name)
    }

    /// Whose an address is.
    ///
    /// # Errors
    /// The store failed.
    pub async fn address_owner(
        &self,
        address: &EmailAddress,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let name = name_of(EMAIL, address.as_str());
        let part = self.address_part(&name);
        let owner = self.data().get::<AddressOwnerRow>(part, &()).await?;
        Ok(owner.filter(|owner| owner.name == name).map(|owner| owner.value.user_id))
    }

    /// A user's addresses.
    ///
    /// # Errors
    /// The store failed.
    pub async fn addresses(&self, user: &UserId) -> Result<Vec<OwnedAddress>, AccountsError> {
        let page = self.data().list::<AddressRow>(self.part(user), &(), ADDRESSES_MAX + 1).await?;
        let rows = page.rows.into_iter();
        Ok(rows
            .map(|((medium, address), row)| OwnedAddress {
                medium,
                address,
                validated_ms: row.validated_ms,
                added_ms: row.added_ms,
            })
            .collect())
    }

    /// Give an account one more address.
    ///
    /// # Errors
    /// The address is somebody's already; the account is unknown, closed, or has too many; the
    /// proof was used meanwhile; or the store failed.
    pub async fn add_address(
        &self,
        user: &UserId,
        proved: &ProvedAddress,
    ) -> Result<(), AccountsError> {
        for _ in 0..ATTEMPTS_MAX {
            let mut write = self.one_more_address(user).await?;
            self.claim_address(&mut write, user, proved).await?;
            match self.data().commit(write).await {
                Ok(_) => return Ok(()),
                Err(DataError::Conflict { .. }) => {
                    // Whoever used the proof meanwhile has it.
                    self.still_proved(proved).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// A batch that may give an account one more address.
    async fn one_more_address(&self, user: &UserId) -> Result<Write, AccountsError> {
        let part = self.part(user);
        let account = self.stored_account(user).await?.ok_or(AccountsError::UserUnknown)?;
        if account.deactivated_ms.is_some() {
            return Err(AccountsError::Deactivated);
        }
        if self.addresses(user).await?.len() >= ADDRESSES_MAX as usize {
            return Err(AccountsError::TooMany("addresses"));
        }
        let mut write = Write::new(part);
        write.require_version::<AccountRow>(part, &(), account.version);
        // Two additions at once do not get past the limit.
        write.put_version::<AccountRow>(part, &(), account.version + 1, &account.value);
        Ok(write)
    }

    /// Make an address somebody's, in a batch that conflicts if it is anybody's by then.
    pub(crate) async fn claim_address(
        &self,
        write: &mut Write,
        user: &UserId,
        proved: &ProvedAddress,
    ) -> Result<(), AccountsError> {
        self.claim(write, user, proved.address(), proved.validated_ms).await?;
        proved.use_up(write);
        Ok(())
    }

    /// Give an account an address that an identity provider has verified. If it has it already,
    /// nothing happens.
    ///
    /// # Errors
    /// The address is not taken here or somebody else's; the account is unknown, closed, or has too
    /// many; or the store failed.
    pub async fn add_vouched_address(
        &self,
        user: &UserId,
        address: &EmailAddress,
    ) -> Result<(), AccountsError> {
        if !self.settings().email_domains.allow(address) {
            return Err(AccountsError::AddressDenied);
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.address_owner(address).await? {
                Some(owner) if owner == user => return Ok(()),
                Some(_) => return Err(AccountsError::AddressInUse),
                None => {}
            }
            let mut write = self.one_more_address(user).await?;
            self.claim(&mut write, user, address, self.now_ms()).await?;
            match self.data().commit(write).await {
                Ok(_) => return Ok(()),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    async fn claim(
        &self,
        write: &mut Write,
        user: &UserId,
        address: &EmailAddress,
        validated_ms: u64,
    ) -> Result<(), AccountsError> {
        if self.address_owner(address).await?.is_some() {
            return Err(AccountsError::AddressInUse);
        }
        let name = name_of(EMAIL, address.as_str());
        let home = self.address_part(&name);
        let added_ms = self.now_ms();
        let stored = StoredAddress { validated_ms, added_ms };
        let owner = StoredAddressOwner { name, user_id: user.to_owned() };
        let key = (EMAIL.to_owned(), address.as_str().to_owned());
        write.require_absent::<AddressOwnerRow>(home, &());
        write.put_version::<AddressOwnerRow>(home, &(), added_ms.max(1), &owner);
        write.put::<AddressRow>(self.part(user), &key, &stored);
        Ok(())
    }

    /// Take an address from an account. Whether it had it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_address(
        &self,
        user: &UserId,
        medium: &str,
        address: &str,
    ) -> Result<bool, AccountsError> {
        // As it stands in the list, or as a person may write it.
        let canonical = EmailAddress::parse(address).filter(|_| medium == EMAIL);
        let address = canonical.as_ref().map_or(address, EmailAddress::as_str);
        let part = self.part(user);
        let key = (medium.to_owned(), address.to_owned());
        if self.data().get::<AddressRow>(part, &key).await?.is_none() {
            return Ok(false);
        }
        let mut write = Write::new(part);
        self.release_addresses(&mut write, std::slice::from_ref(&key)).await?;
        write.del::<AddressRow>(part, &key);
        self.data().commit(write).await?;
        Ok(true)
    }

    /// Let all addresses of a user go, in the batch that closes the account.
    pub(crate) async fn release_all_addresses(
        &self,
        write: &mut Write,
        user: &UserId,
    ) -> Result<(), AccountsError> {
        let addresses = self.addresses(user).await?;
        let keys: Vec<_> =
            addresses.into_iter().map(|owned| (owned.medium, owned.address)).collect();
        self.release_addresses(write, &keys).await?;
        write.del_prefix::<AddressRow>(self.part(user), &());
        Ok(())
    }

    async fn release_addresses(
        &self,
        write: &mut Write,
        keys: &[(String, String)],
    ) -> Result<(), AccountsError> {
        let names: Vec<_> = keys.iter().map(|(medium, address)| name_of(medium, address)).collect();
        let parts: Vec<_> = names.iter().map(|name| self.address_part(name)).collect();
        let owners = parts.iter().map(|part| (*part, &()));
        let owners = self.data().get_many::<AddressOwnerRow>(owners).await?;
        for (part, owner) in parts.into_iter().zip(owners) {
            if let Some(owner) = owner {
                write.require_version::<AddressOwnerRow>(part, &(), owner.version);
                write.del::<AddressOwnerRow>(part, &());
            }
        }
        Ok(())
    }

    /// # Errors
    /// The proof was used, or is too old.
    async fn still_proved(&self, proved: &ProvedAddress) -> Result<(), AccountsError> {
        let found = self.proof_exists(proved).await?;
        if found { Ok(()) } else { Err(AccountsError::AddressUnproved) }
    }

    /// Give the account that has an address a new password; whoever read the mail may.
    ///
    /// # Errors
    /// The proof is used or too old, nobody has the address any more, passwords are switched off,
    /// the password is weak, or the store failed.
    pub async fn reset_password(
        &self,
        sid: &str,
        client_secret: &str,
        new: crate::Secret,
    ) -> Result<OwnedUserId, AccountsError> {
        if !self.settings().password_login {
            return Err(AccountsError::SignInNotOffered);
        }
        let proved = self.proved_address(&ProofPurpose::Password, sid, client_secret).await?;
        let owner = self.address_owner(proved.address()).await?;
        let user = owner.ok_or(AccountsError::AddressUnproved)?;
        self.set_password_and(&user, new, |write| proved.use_up(write)).await?;
        self.forget_failed(&user);
        Ok(user)
    }
}
