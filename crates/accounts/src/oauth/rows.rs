//! Rows of the OAuth server. Clients and device grants lie in the directory partition, everything
//! else with its user.

use blaupause_data::row;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::ClientMetadata;
use crate::secret::TokenHash;

row! {
    /// Registered clients by id.
    pub(crate) ClientRow: Idx b'C' Versioned, String => StoredClient
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredClient {
    pub metadata: ClientMetadata,
    pub registered_ms: u64,
    /// When it last registered, or one of its sessions was opened or refreshed; not exact.
    pub used_ms: u64,
    /// Whether somebody ever let it in.
    pub granted: bool,
}

row! {
    /// Authorization codes.
    pub(crate) AuthCodeRow: Idx b'c' Versioned, TokenHash => StoredAuthCode
}

/// An authorization code: good for one exchange, and kept for a while after it, so that a second
/// one is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredAuthCode {
    pub client_id: String,
    pub redirect_uri: String,
    /// What was granted, as the client is told.
    pub scope: String,
    pub device: OwnedDeviceId,
    /// The code challenge (S256).
    pub challenge: [u8; 32],
    pub expires_ms: u64,
    /// The family of the session that was opened with it.
    pub used: Option<TokenHash>,
}

row! {
    /// Device grants by user code.
    pub(crate) DeviceGrantRow: Idx b'v' Versioned, String => StoredDeviceGrant
}

/// A client on a device without a browser waits for a person's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredDeviceGrant {
    pub device_code: TokenHash,
    pub client_id: String,
    pub scope: String,
    pub device: OwnedDeviceId,
    pub expires_ms: u64,
    pub decision: StoredDecision,
}

/// What the person decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredDecision {
    Pending,
    Denied,
    Approved(OwnedUserId),
}

row! {
    /// Browsers in which somebody is signed in to the account pages; the value is when that ends.
    pub(crate) BrowserRow: Idx b'b' Plain, TokenHash => u64
}

row! {
    /// What a device has that an OAuth client signed in.
    pub(crate) OAuthSessionRow: Usr b'O' Plain, OwnedDeviceId => StoredOAuthSession
}

/// The consent of a person: which client may do what since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredOAuthSession {
    pub client_id: String,
    pub scope: String,
    pub granted_ms: u64,
    /// Hash of the name that all refresh tokens of the session share.
    pub family: TokenHash,
}

row! {
    /// Until when the user may replace their cross-signing keys without another proof.
    pub(crate) ResetRow: Usr b'X' Plain, () => u64
}
