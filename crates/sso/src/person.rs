//! Who somebody from elsewhere is here.

use blaupause_accounts::{AccountsError, EmailAddress, Newcomer, Origin};
use blaupause_data::{DataError, Order, Part, ReadSet, Write};
use ruma::{OwnedUserId, UserId, profile::ProfileFieldName};

use crate::{
    Identity, Mapping, Sso, SsoError,
    rows::{LinkRow, StoredLink, StoredUserLink, UserLinkRow},
};

/// How often it is looked again if somebody else was faster.
const ATTEMPTS_MAX: usize = 5;
/// Links of one user that are looked at.
const LINKS_MAX: u32 = 100;

/// What is known about a person's account here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub user_id: OwnedUserId,
    pub origin: Origin,
}

impl Sso {
    /// Whose account a provider's account belongs to; makes or links one where that is wanted, and
    /// brings the display name up to date.
    ///
    /// # Errors
    /// No account belongs to it and none can be made; or something failed.
    pub async fn admit(&self, identity: &Identity) -> Result<Admitted, SsoError> {
        let settings = &self.upstream(&identity.provider)?.settings;
        let origin =
            Origin { provider: identity.provider.clone(), session: identity.session.clone() };
        for _ in 0..ATTEMPTS_MAX {
            if let Some(user_id) = self.linked(&identity.issuer, &identity.subject).await? {
                if settings.mapping.renew_display_name {
                    self.renew_name(&user_id, identity, &settings.mapping).await?;
                }
                self.add_email(&user_id, identity, &settings.mapping).await?;
                self.note_session(&user_id, &origin).await?;
                return Ok(Admitted { user_id, origin });
            }
            match self.make(identity).await {
                Ok(user_id) => {
                    self.add_email(&user_id, identity, &settings.mapping).await?;
                    self.note_session(&user_id, &origin).await?;
                    return Ok(Admitted { user_id, origin });
                }
                // Somebody was faster, perhaps the same person in another window.
                Err(SsoError::Accounts(
                    AccountsError::Busy | AccountsError::Data(DataError::Conflict { .. }),
                )) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AccountsError::Busy.into())
    }

    /// Who it is that has shown who they are, if they had to be `user`.
    ///
    /// # Errors
    /// It is somebody else, or the store failed.
    pub async fn prove(&self, identity: &Identity, user: &UserId) -> Result<(), SsoError> {
        let linked = self.linked(&identity.issuer, &identity.subject).await?;
        if linked.is_some_and(|linked| linked == user) {
            Ok(())
        } else {
            Err(SsoError::OtherPerson)
        }
    }

    /// The providers at which a user can show who they are, in the order of the configuration.
    ///
    /// # Errors
    /// The store failed.
    pub async fn providers_of(&self, user: &UserId) -> Result<Vec<&crate::Provider>, SsoError> {
        let providers = &self.settings().providers;
        if providers.is_empty() {
            return Ok(Vec::new());
        }
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let links = want.prefix::<UserLinkRow>(part, &(), Order::Forward, LINKS_MAX);
        let links = want.run(self.data()).await?.many(links)?.rows;
        let has = |issuer: &str| links.iter().any(|(linked, _)| linked == issuer);
        Ok(providers.iter().filter(|provider| has(&provider.issuer)).collect())
    }

    pub(crate) fn link_part(&self, issuer: &str, subject: &str) -> Part {
        self.data().parts().named(b'S', &format!("{issuer}\0{subject}"))
    }

    pub(crate) async fn linked(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<OwnedUserId>, SsoError> {
        let key = (issuer.to_owned(), subject.to_owned());
        let found = self.data().get::<LinkRow>(self.link_part(issuer, subject), &key).await?;
        Ok(found.map(|found| found.value.user_id))
    }

    async fn make(&self, identity: &Identity) -> Result<OwnedUserId, SsoError> {
        let settings = &self.upstream(&identity.provider)?.settings;
        let newcomers = settings.newcomers;
        if !newcomers.register && !newcomers.link {
            return Err(SsoError::NotRegistered);
        }
        let claims = &identity.claims;
        let localpart = settings.mapping.localpart.fill(claims).map_err(SsoError::MissingClaim)?;
        let localpart = localpart.to_ascii_lowercase();
        let template = settings.mapping.display_name.as_ref();
        let display_name = template.and_then(|template| template.fill_if_there(claims));
        if newcomers.link
            && let Some(user) = self.link_existing(identity, &localpart).await?
        {
            return Ok(user);
        }
        if !newcomers.register {
            return Err(SsoError::NotRegistered);
        }
        let newcomer = Newcomer { localpart: localpart.clone(), display_name };
        let server = self.data().server_name();
        let Ok(user) = UserId::parse(format!("@{localpart}:{server}")) else {
            return Err(SsoError::BadLocalpart(localpart));
        };
        let also = |write: &mut Write| self.put_link(write, identity, &user);
        match self.accounts().create_for(&newcomer, &also).await {
            Ok(user) => {
                tracing::info!(provider = identity.provider, "an account was made for a newcomer");
                Ok(user)
            }
            Err(AccountsError::InvalidUsername(_)) => Err(SsoError::BadLocalpart(localpart)),
            Err(AccountsError::UserInUse | AccountsError::Exclusive) => {
                tracing::warn!(
                    provider = identity.provider,
                    "a newcomer's name belongs to somebody else"
                );
                Err(SsoError::Taken(localpart))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Give somebody the account that has their name, if it is nobody else's.
    async fn link_existing(
        &self,
        identity: &Identity,
        localpart: &str,
    ) -> Result<Option<OwnedUserId>, SsoError> {
        let server = self.data().server_name();
        let Ok(user) = UserId::parse(format!("@{localpart}:{server}")) else { return Ok(None) };
        let Some(account) = self.accounts().account(&user).await? else { return Ok(None) };
        if account.deactivated || account.guest {
            return Ok(None);
        }
        let part = self.data().parts().user(&user);
        let link = self.data().get::<UserLinkRow>(part, &identity.issuer).await?;
        // Names at the provider can be chosen by people, rights here must not be.
        if link.is_some() || account.admin {
            return Err(SsoError::Taken(localpart.to_owned()));
        }
        let mut write = Write::new(part);
        self.put_link(&mut write, identity, &user);
        self.data().commit(write).await?;
        tracing::info!(provider = identity.provider, "an account was linked");
        Ok(Some(user))
    }

    fn put_link(&self, write: &mut Write, identity: &Identity, user: &UserId) {
        let key = (identity.issuer.clone(), identity.subject.clone());
        let linked_ms = self.data().env().now_millis();
        let link = StoredLink { user_id: user.to_owned(), linked_ms };
        let part = self.link_part(&identity.issuer, &identity.subject);
        write.require_absent::<LinkRow>(part, &key);
        write.put::<LinkRow>(part, &key, &link);
        let part = self.data().parts().user(user);
        let link = StoredUserLink { subject: identity.subject.clone(), linked_ms };
        write.require_absent::<UserLinkRow>(part, &identity.issuer);
        write.put::<UserLinkRow>(part, &identity.issuer, &link);
    }

    /// Note the mail address that the provider has verified. One that cannot be had keeps nobody
    /// out.
    async fn add_email(
        &self,
        user: &UserId,
        identity: &Identity,
        mapping: &Mapping,
    ) -> Result<(), SsoError> {
        let claims = &identity.claims;
        let is_verified = claims.get("email_verified").is_some_and(|is| *is == true);
        let template = mapping.email.as_ref().filter(|_| is_verified);
        let text = template.and_then(|template| template.fill_if_there(claims));
        let Some(address) = text.and_then(|text| EmailAddress::parse(&text)) else { return Ok(()) };
        match self.accounts().add_vouched_address(user, &address).await {
            Ok(()) => Ok(()),
            Err(error @ (AccountsError::Data(_) | AccountsError::Busy)) => Err(error.into()),
            Err(error) => {
                tracing::info!(provider = identity.provider, %error, "a mail address is not taken");
                Ok(())
            }
        }
    }

    async fn renew_name(
        &self,
        user: &UserId,
        identity: &Identity,
        mapping: &Mapping,
    ) -> Result<(), SsoError> {
        let template = mapping.display_name.as_ref();
        let wanted = template.and_then(|template| template.fill_if_there(&identity.claims));
        let Some(wanted) = wanted else { return Ok(()) };
        // Closed accounts have no profile; who signs in is told so soon enough.
        let Some(profile) = self.accounts().profile(user).await? else { return Ok(()) };
        if profile.display_name() != Some(wanted.as_str()) {
            let name = ProfileFieldName::DisplayName;
            self.accounts().set_profile_field(user, &name, &wanted.into()).await?;
        }
        Ok(())
    }
}
