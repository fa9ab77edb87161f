//! The OAuth 2.0 server (spec: client-server API, "OAuth 2.0 API").
//!
//! An OAuth session is a device like any other, with tokens like any others; what it has besides
//! is a row that names the client, the scope and the *family* of its refresh tokens. A family's
//! name is a part of each refresh token's text, so a refresh token that was already exchanged is
//! recognised for ever without being kept: it has the family and is not the newest. Then somebody
//! has a copy, and the session must end ([`OAuthError::Compromised`]).
//!
//! Pure: `metadata` (what a client may register), `redirect` (where it may be sent back to),
//! `scope`, `pkce`, `request` (what it asks a person for). Stored: `client`, `code`,
//! `device_grant`, `session`, `browser` (a person's cookie), `reset`.
//!
//! What is deliberately absent: pages and HTTP (`api`), clients with secrets, implicit and hybrid
//! flows, ID tokens: Matrix uses none of them.

mod browser;
mod client;
mod code;
mod device_grant;
mod error;
mod metadata;
mod pkce;
mod redirect;
mod request;
mod reset;
pub(crate) mod rows;
mod scope;
mod session;
mod sweep;

use std::{num::NonZeroUsize, sync::atomic::AtomicU64};

use lru::LruCache;
use parking_lot::Mutex;

pub use browser::Browser;
pub use client::Client;
pub use device_grant::{DeviceGrant, PendingDeviceGrant, normal_user_code};
pub use error::OAuthError;
pub use metadata::{ApplicationKind, ClientMetadata};
pub use pkce::Challenge;
pub use request::{AuthorizationRequest, RefusedRequest, ResponseMode, ReturnAddress};
pub use scope::OAuthScope;
pub use session::{OAuthIssued, OAuthSession, TokenOwner};

use device_grant::Polled;

/// Device grants whose last poll is remembered.
const POLLED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// What the OAuth server keeps in memory; a restart forgets it without harm.
pub(crate) struct OAuthMemory {
    /// When which device grant was polled, by user code.
    polled: Mutex<LruCache<String, Polled>>,
    /// Registered clients at the last sweep and since; `u64::MAX`: not counted yet.
    clients: AtomicU64,
    /// Open device grants at the last sweep and since; `u64::MAX`: not counted yet.
    device_grants: AtomicU64,
    /// When the last sweep was.
    swept_ms: AtomicU64,
}

impl Default for OAuthMemory {
    fn default() -> Self {
        Self {
            polled: Mutex::new(LruCache::new(POLLED_MAX)),
            clients: AtomicU64::new(u64::MAX),
            device_grants: AtomicU64::new(u64::MAX),
            swept_ms: AtomicU64::new(0),
        }
    }
}
