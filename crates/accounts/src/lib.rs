//! People and how they come in: accounts, devices, tokens, sign-in, registration, profiles,
//! presence, account data, filters, the user directory and OpenID tokens.
//!
//! `oauth` is a server of OAuth 2.0 over the same devices and tokens.
//!
//! Everything about a user lies in the user's partition; signing in, refreshing and signing out
//! are one batch each. Tokens and one-time secrets are stored as hashes only.
//!
//! What is deliberately absent: HTTP and user-interactive authentication (`api`), keys and
//! messages of devices (`e2ee`, which must be told before a device is deleted), leaving rooms
//! after a deactivation and member events after a change of profile (`rooms` follows the log),
//! push rules (`notify` keeps them as account data).
//!
//! Start reading at [`Accounts`], then `tokens.rs` (who is asking?), `signin.rs`,
//! `registration.rs`; [`rows`] says what is stored.

mod account_data;
mod appservices;
mod cache;
mod dehydrated;
mod devices;
mod directory;
mod email;
mod error;
mod failed_logins;
mod filters;
mod housekeeping;
mod ignored;
mod invites;
mod last_seen;
mod names;
mod oauth;
mod openid;
mod origin;
mod password_rules;
mod presence;
mod profile;
mod registration;
mod registration_tokens;
pub mod rows;
mod secret;
mod session;
mod settings;
mod shared_secret;
mod signin;
mod tags;
mod tokens;
mod users;

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_data::{Change, Data, Part};
use ruma::{OwnedUserId, UserId, api::client::filter::FilterDefinition};

pub use account_data::{AccountDatum, Scope};
pub use appservices::{
    AppService, AppServices, Encryption, Ephemeral, Namespace, Namespaces, ServiceRegistration,
    Twice,
};
pub use dehydrated::{Dehydrated, DelDehydrated};
pub use devices::{DeviceInfo, DeviceNames};
pub use directory::{FoundUser, SearchUsers, UsersFound};
pub use email::{
    AskedProof, EmailAddress, EmailDomains, OpenedProof, OwnedAddress, ProofPurpose, ProvedAddress,
    ShownProof,
};
pub use error::AccountsError;
pub use failed_logins::FailedLogins;
pub use ignored::Unwanted;
pub use invites::{InviteAnswer, InviteRules};
pub use last_seen::LastSeen;
pub use oauth::{
    ApplicationKind, AuthorizationRequest, Browser, Challenge, Client, ClientMetadata, DeviceGrant,
    OAuthError, OAuthIssued, OAuthScope, OAuthSession, PendingDeviceGrant, RefusedRequest,
    ResponseMode, ReturnAddress, TokenOwner, normal_user_code,
};
pub use openid::OpenIdToken;
pub use origin::Origin;
pub use password_rules::{PasswordFlaw, PasswordRules};
pub use presence::{Here, Presence, PresenceStatus};
pub use profile::Profile;
pub use registration::{Newcomer, Registered, Registration};
pub use registration_tokens::{NewRegistrationToken, RegistrationTokenInfo};
pub use secret::Secret;
pub use session::Session;
pub use settings::{Argon2Cost, RegistrationMode, Settings};
pub use signin::{Issued, LoginToken, SignIn};
pub use users::{AccountInfo, NewAccount};

use cache::Cache;
use failed_logins::FailedTable;
use last_seen::LastSeenTable;
use oauth::OAuthMemory;
use secret::TokenHash;
use shared_secret::Nonces;

/// Sessions kept in memory (about 300 bytes each).
const SESSIONS_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");
/// Users whose device names are kept in memory (about 500 bytes each).
const DEVICE_NAMES_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
/// Users of whom it is kept in memory whom they ignore (mostly nobody).
const UNWANTED_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// Filters kept in memory (about 1 kB each).
const FILTERS_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// How often a batch whose base somebody else changed is tried again.
const ATTEMPTS_MAX: usize = 5;

/// Everything about the people of this server. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    data: Data,
    settings: Settings,
    sessions: Cache<TokenHash, Arc<Session>>,
    device_names: Cache<OwnedUserId, Arc<DeviceNames>>,
    unwanted: Cache<OwnedUserId, Arc<Unwanted>>,
    filters: Cache<(OwnedUserId, u64), Arc<FilterDefinition>>,
    last_seen: LastSeenTable,
    nonces: Nonces,
    failed: FailedTable,
    presence: Presence,
    oauth: OAuthMemory,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accounts")
    }
}

impl Accounts {
    /// The domain over its stored data. To be built before whoever wakes clients: its caches must
    /// have forgotten what changed when a woken client reads again.
    pub fn new(data: Data, settings: Settings) -> Self {
        let accounts = Self(Arc::new(Inner {
            presence: Presence::new(data.clone(), settings.presence),
            data,
            settings,
            sessions: Cache::new(SESSIONS_CACHED_MAX),
            device_names: Cache::new(DEVICE_NAMES_CACHED_MAX),
            unwanted: Cache::new(UNWANTED_CACHED_MAX),
            filters: Cache::new(FILTERS_CACHED_MAX),
            last_seen: LastSeenTable::default(),
            nonces: Nonces::default(),
            failed: FailedTable::default(),
            oauth: OAuthMemory::default(),
        }));
        let weak = Arc::downgrade(&accounts.0);
        accounts.0.data.feed().follow(Box::new(move |_, changes| {
            if let Some(inner) = weak.upgrade() {
                changes.iter().for_each(|change| inner.forget(change));
            }
        }));
        accounts
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Who is online.
    pub fn presence(&self) -> &Presence {
        &self.0.presence
    }

    pub(crate) fn part(&self, user: &UserId) -> Part {
        self.data().parts().user(user)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.data().env().now_millis()
    }
}

impl Inner {
    fn forget(&self, change: &Change) {
        match change {
            Change::Devices { user } => self.device_names.forget(user),
            Change::AccountData { user, room: None } => self.unwanted.forget(user),
            Change::Deactivated { user } => {
                self.device_names.forget(user);
                self.unwanted.forget(user);
                self.filters.forget_where(|(of, _), _| of == user);
                self.presence.forget(user);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
