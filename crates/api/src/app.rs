//! What every handler holds.

use std::{ops::Deref, sync::Arc};

use blaupause_accounts::Accounts;
use blaupause_data::Data;
use blaupause_e2ee::E2ee;
use blaupause_media::Media;
use blaupause_notify::Notify;
use blaupause_rooms::Rooms;
use blaupause_sync::Sync;
use ruma::UserId;

use crate::{
    ApiError, HttpMetrics, OAuth, RateLimits, User, WellKnown, limits::Limiter, oauth::Places,
    uia::Uia,
};

/// What operators can set about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What clients and servers are told at `/.well-known/matrix`.
    pub well_known: WellKnown,
    /// Requests per second and caller; `None` switches all limits off.
    pub rate_limits: Option<RateLimits>,
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
    /// Files are handed out without sign-in, too (deprecated paths; conformance runs need it).
    pub legacy_media: bool,
    /// Other servers are told that there is nothing for them here.
    pub federation_off: bool,
    /// The directory of published rooms is answered without sign-in.
    pub public_rooms_without_auth: bool,
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
            Self::Admins if user.is_admin => Ok(()),
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
    /// Shared secret with the TURN server (RFC draft "TURN REST API").
    pub secret: blaupause_accounts::Secret,
}

/// The domains and what HTTP itself keeps.
pub struct Parts {
    pub data: Data,
    pub accounts: Accounts,
    pub rooms: Rooms,
    pub e2ee: E2ee,
    pub media: Media,
    pub sync: Sync,
    pub notify: Notify,
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
    /// Where devices meet to sign in by a QR code, by the protocol's version.
    pub(crate) rendezvous_2024: Places,
    pub(crate) rendezvous_2025: Places,
}

impl App {
    /// Put the domains together.
    pub fn new(parts: Parts) -> Self {
        let limiter = Limiter::new(parts.data.env().clone(), parts.settings.rate_limits.clone());
        let uia = Uia::new(parts.data.env().clone());
        let places = || Places::new(parts.data.env().clone());
        let (rendezvous_2024, rendezvous_2025) = (places(), places());
        Self(Arc::new(Inner { parts, uia, limiter, rendezvous_2024, rendezvous_2025 }))
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
