//! What every handler holds.

use std::{ops::Deref, sync::Arc};

use blaupause_accounts::{Accounts, Secret};
use blaupause_data::Data;
use blaupause_e2ee::E2ee;
use blaupause_federation::Federation;
use blaupause_media::{Media, Previews};
use blaupause_notify::{Notify, Services};
use blaupause_rooms::Rooms;
use blaupause_sso::Sso;
use blaupause_sync::Sync;
use ruma::UserId;
use url::Url;

use crate::{
    ApiError, HttpMetrics, MailProofs, OAuth, RateLimits, User, WellKnown, limits::Limiter,
    oauth::Places, pages::Proofs, uia::Uia,
};

/// What operators can set about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What clients and servers are told at `/.well-known/matrix`.
    pub well_known: WellKnown,
    /// Requests per second and caller; `None` switches all limits off.
    pub rate_limits: Option<RateLimits>,
    /// How people prove their mail addresses; `None`: nobody can.
    pub mail: Option<MailProofs>,
    /// TURN servers for calls.
    pub turn: Option<Turn>,
    /// Where calls with many people go (MSC4143), the preferred one first.
    pub rtc: Vec<LiveKit>,
    /// Who may make rooms.
    pub create_rooms: Who,
    /// Who may list rooms in the directory.
    pub publish_rooms: Who,
    /// The OAuth 2.0 server with its pages; `None`: there is none.
    pub oauth: Option<OAuth>,
    /// Addresses of clients (`m.login.sso`) to which people are sent back without being asked.
    pub trusted_clients: Vec<Url>,
    /// Files are handed out without sign-in, too (deprecated paths; conformance runs need it).
    pub legacy_media: bool,
    /// The directory of published rooms is answered without sign-in.
    pub public_rooms_without_auth: bool,
    /// Whether people may ask who has an account here (MSC3720).
    pub account_status: bool,
}

/// Some people of this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    #[default]
    Everyone,
    /// Server administrators.
    Admins,
    Nobody,
}

impl Who {
    /// # Errors
    /// 403 if the user is not one of them.
    pub(crate) fn must_include(self, user: &User) -> Result<(), ApiError> {
        match self {
            Self::Everyone => Ok(()),
            // The operator installed the application services: bridges make rooms for people.
            Self::Admins if user.is_admin || user.service.is_some() => Ok(()),
            Self::Admins => Err(ApiError::forbidden("only administrators of this server may")),
            Self::Nobody => Err(ApiError::forbidden("this server does not offer it")),
        }
    }
}

/// A MatrixRTC backend: the service that lets people into LiveKit rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveKit {
    /// `https://…`
    pub service_url: String,
}

impl LiveKit {
    pub(crate) const TYPE: &str = "livekit";
    /// The field in which clients look for the address.
    pub(crate) const URL: &str = "livekit_service_url";
}

/// TURN credentials that are handed out.
#[derive(Clone, Debug)]
pub struct Turn {
    pub uris: Vec<String>,
    pub ttl_seconds: u64,
    pub login: TurnLogin,
}

/// How people show a TURN server that they are ours.
#[derive(Clone, Debug)]
pub enum TurnLogin {
    /// By a name and a password for a while, made from a secret that the TURN server knows (RFC
    /// draft "TURN REST API").
    Shared(Secret),
    /// All by the same name and password.
    Fixed { username: String, password: Secret },
}

/// The domains and what HTTP itself keeps.
pub struct Parts {
    pub data: Data,
    pub accounts: Accounts,
    pub federation: Federation,
    pub rooms: Rooms,
    pub e2ee: E2ee,
    pub media: Media,
    pub sync: Sync,
    pub notify: Notify,
    pub services: Services,
    /// Previews of links; `None`: there are none.
    pub previews: Option<Previews>,
    pub sso: Sso,
    pub settings: Settings,
    pub metrics: HttpMetrics,
}

/// The domains, for handlers. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

pub struct Inner {
    parts: Parts,
    pub(crate) uia: Uia,
    pub(crate) limiter: Limiter,
    /// Who has just shown on a page who they are.
    pub(crate) proofs: Proofs,
    /// Where devices meet to sign in by a QR code, by the protocol's version.
    pub(crate) rendezvous_2024: Places,
    pub(crate) rendezvous_2025: Places,
}

impl App {
    /// Put the domains together.
    pub fn new(parts: Parts) -> Self {
        let limiter = Limiter::new(parts.data.env().clone(), parts.settings.rate_limits.clone());
        let uia = Uia::new(parts.data.env().clone());
        let proofs = Proofs::new(parts.data.env().clone());
        let places = || Places::new(parts.data.env().clone());
        let (rendezvous_2024, rendezvous_2025) = (places(), places());
        Self(Arc::new(Inner { parts, uia, limiter, proofs, rendezvous_2024, rendezvous_2025 }))
    }

    /// Where people find the pages for signing in and for their account; `None`: there are none.
    pub(crate) fn pages_base_url(&self) -> Option<&str> {
        let oauth = self.settings.oauth.as_ref().map(|oauth| oauth.base_url.as_str());
        let sso = self.sso.settings();
        oauth.or((!sso.providers.is_empty()).then_some(sso.base_url.as_str()))
    }

    /// Whether browsers come by HTTPS, so that cookies can be bound to it.
    pub(crate) fn has_secure_pages(&self) -> bool {
        self.pages_base_url().is_some_and(|base| base.starts_with("https://"))
            || self.settings.mail.as_ref().is_some_and(MailProofs::is_secure)
    }

    /// Whether a user belongs to this server.
    pub(crate) fn is_local(&self, user: &UserId) -> bool {
        self.data.is_local(user)
    }
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}
