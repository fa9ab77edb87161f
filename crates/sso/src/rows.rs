//! What this crate stores: who at a provider is who here.

use blaupause_data::row;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

row! {
    /// Who a provider's account (issuer, subject) belongs to. Never changes.
    pub(crate) LinkRow: Idx b'S' Plain, (String, String) => StoredLink
}

/// A provider's account belongs to somebody here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLink {
    pub user_id: OwnedUserId,
    pub linked_ms: u64,
}

row! {
    /// The provider's account, by issuer, that belongs to a user.
    pub(crate) UserLinkRow: Usr b'i' Plain, String => StoredUserLink
}

/// The other direction of [`StoredLink`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredUserLink {
    pub subject: String,
    pub linked_ms: u64,
}

row! {
    /// Whose session at a provider (its id in the configuration, its `sid`) this is.
    pub(crate) SessionRow: Idx b'O' Plain, (String, String) => StoredSession
}

/// Somebody came in from this session of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSession {
    pub user_id: OwnedUserId,
}

row! {
    /// The same from the other side, so that what ended is found: when a user last came in from a
    /// session of a provider, in milliseconds.
    pub(crate) UserSessionRow: Usr b'S' Plain, (String, String) => u64
}
