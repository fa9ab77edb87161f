//! People who sign in elsewhere: OpenID Connect providers such as Keycloak, and tokens of an
//! operator's own system (`org.matrix.login.jwt`).
//!
//! A provider's account is its issuer and subject, for ever; which user here it belongs to is
//! decided once, by the first sign-in. Everything else that the provider says (names, groups) may
//! change. What a provider opened remembers it ([`blaupause_accounts::Origin`]), so that the
//! provider can end it.
//!
//! Nothing of a provider is believed that it did not sign, with an algorithm and for a purpose that
//! we chose: see `jose`, `id_token`, `logout`, all pure. A sign-in that has begun stands in a
//! cookie of the browser (`pending`).
//!
//! What is deliberately absent: pages and cookies (`api`), sessions and tokens of this server
//! (`accounts`), SAML and LDAP (Keycloak speaks them), refresh tokens of providers: who may come in
//! is asked when somebody does.
//!
//! Start reading at [`Sso`], then `visit.rs` (there and back), `person.rs` (who is it here?).

mod error;
mod http;
mod id_token;
mod jose;
mod jwt;
mod logout;
mod mapping;
mod pending;
mod person;
mod provider;
mod rows;
mod session;
mod settings;
mod visit;

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_accounts::Accounts;
use blaupause_data::Data;
use blaupause_outbound::Outbound;
use lru::LruCache;
use parking_lot::Mutex;

pub use error::SsoError;
pub use jose::{
    Algorithm, AlgorithmFamily, JoseError, Keys, PUBLIC_ALGORITHMS, SigningKey, VerifyingKey,
};
pub use logout::LoggedOut;
pub use mapping::{Condition, Template};
pub use pending::Purpose;
pub use person::Admitted;
pub use settings::{ClientAuth, JwtLogin, Mapping, Newcomers, OnLogout, Provider, Settings};
pub use visit::{Begun, Finished, Identity, Returned};

use pending::Seal;
use provider::Upstream;

/// Names of things that are good once, kept in memory. Each is good for minutes; to push one out
/// so soon somebody would have to sign in so often.
const USED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

/// People from elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct Sso(Arc<Inner>);

struct Inner {
    data: Data,
    accounts: Accounts,
    settings: Settings,
    upstreams: Vec<Upstream>,
    seal: Seal,
    used: Mutex<LruCache<String, ()>>,
}

impl std::fmt::Debug for Sso {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sso")
    }
}

impl Sso {
    /// The domain over its stored data. Nothing is asked of providers yet.
    pub fn new(data: Data, accounts: Accounts, settings: Settings, outbound: &Outbound) -> Self {
        let upstream = |provider: &Provider| {
            Upstream::new(provider.clone(), data.env().clone(), outbound.clone())
        };
        let upstreams = settings.providers.iter().map(upstream).collect();
        let seal = Seal::new(data.env());
        let used = Mutex::new(LruCache::new(USED_MAX));
        Self(Arc::new(Inner { data, accounts, settings, upstreams, seal, used }))
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The providers at which people sign in, in the order in which they are shown.
    pub fn providers(&self) -> &[Provider] {
        &self.0.settings.providers
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    pub(crate) fn seal(&self) -> &Seal {
        &self.0.seal
    }

    pub(crate) fn upstream(&self, id: &str) -> Result<&Upstream, SsoError> {
        let found = self.0.upstreams.iter().find(|upstream| upstream.settings.id == id);
        found.ok_or(SsoError::UnknownProvider)
    }

    /// Whether nobody used this name before.
    pub(crate) fn is_first_use(&self, name: &str) -> bool {
        self.0.used.lock().put(name.to_owned(), ()).is_none()
    }
}

#[cfg(test)]
mod tests;
