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

use crate::{HttpMetrics, RateLimits, WellKnown, limits::Limiter, uia::Uia};

/// What operators can set about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What clients and servers are told at `/.well-known/matrix`.
    pub well_known: WellKnown,
    /// Requests per second and caller; `None` switches all limits off.
    pub rate_limits: Option<RateLimits>,
    /// TURN servers for calls.
    pub turn: Option<Turn>,
    /// MatrixRTC focus (LiveKit) for Element Call.
    pub rtc_foci: Vec<serde_json::Value>,
    /// Files are handed out without sign-in, too (deprecated paths; conformance runs need it).
    pub legacy_media: bool,
    /// The directory of published rooms is answered without sign-in.
    pub public_rooms_without_auth: bool,
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
}

impl App {
    /// Put the domains together.
    pub fn new(parts: Parts) -> Self {
        let limiter = Limiter::new(parts.data.env().clone(), parts.settings.rate_limits.clone());
        let uia = Uia::new(parts.data.env().clone());
        Self(Arc::new(Inner { parts, uia, limiter }))
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
