//! What this crate stores. All rows lie in the partition of their user, except the user directory
//! and registration tokens, which lie in the directory partition.

use std::{collections::BTreeMap, fmt};

use blaupause_data::row;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

pub(crate) use crate::secret::TokenHash;

row! {
    /// An account. Its version orders what happens to the account as a whole.
    pub AccountRow: Meta b'u' Versioned, () => StoredAccount
}

/// An account. A deactivated one stays, so that its name is never given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAccount {
    /// The full name, compared on every load: two names could have one partition.
    pub user_id: OwnedUserId,
    pub created_ms: u64,
    pub guest: bool,
    /// Server administrator.
    pub admin: bool,
    /// May read, but hardly write.
    pub suspended: bool,
    /// May do nothing but sign out.
    pub locked: bool,
    /// When the account was closed for good.
    pub deactivated_ms: Option<u64>,
    /// The user asked that their content be forgotten.
    pub erased: bool,
    /// `None`: cannot sign in with a password.
    pub password: Option<PasswordHash>,
}

/// A PHC string: algorithm, cost, salt and hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(pub(crate) String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

row! {
    /// A device. Its version orders what happens to its tokens.
    pub DeviceRow: Usr b'd' Versioned, OwnedDeviceId => StoredDevice
}

/// A device: what signed in once and has not signed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDevice {
    pub display_name: Option<String>,
    pub created_ms: u64,
    /// Every token of the device, so that signing out needs no search.
    pub(crate) tokens: Vec<TokenHash>,
}

row! {
    /// A user's dehydrated device (MSC3814).
    pub DehydratedRow: Usr b'H' Versioned, () => StoredDehydrated
}

/// The dehydrated device; it has a [`DeviceRow`], too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDehydrated {
    pub device_id: OwnedDeviceId,
    /// The encrypted device, a JSON object.
    pub data: String,
}

row! {
    /// When and from where a device was last seen.
    pub LastSeenRow: Usr b'D' Plain, OwnedDeviceId => StoredLastSeen
}

/// When and from where a device was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLastSeen {
    pub at_ms: u64,
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

row! {
    /// Access and refresh tokens by hash.
    pub(crate) TokenRow: Idx b't' Versioned, TokenHash => StoredToken
}

/// An access or refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredToken {
    pub device: OwnedDeviceId,
    /// `None`: until it is revoked.
    pub expires_ms: Option<u64>,
    /// The tokens that end when this one is used for the first time.
    pub replaces: Option<TokenPair>,
    pub kind: StoredTokenKind,
}

/// What only one kind of token has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredTokenKind {
    Access {
        /// Whether there is a refresh token beside it.
        refreshable: bool,
    },
    Refresh {
        /// The access token beside it.
        access: TokenHash,
        /// What this one was already exchanged for, as long as that was not used.
        next: Option<TokenPair>,
    },
}

/// An access token and the refresh token beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenPair {
    pub access: TokenHash,
    pub refresh: TokenHash,
}

row! {
    /// Tokens for one login on another device; the value is when they end. The version is 1 as
    /// long as the token exists: using it requires that.
    pub(crate) LoginTokenRow: Idx b'L' Versioned, TokenHash => u64
}

row! {
    /// Where something came from that is used to sign in, by kind and name; see `origin.rs`.
    pub(crate) OriginRow: Usr b'I' Plain, (u8, String) => crate::Origin
}

row! {
    /// Tokens that prove to a third party who the user is; the value is when they end.
    pub(crate) OpenIdRow: Idx b'o' Plain, TokenHash => u64
}

row! {
    /// Registration tokens made at run time.
    pub(crate) RegistrationTokenRow: Idx b'g' Versioned, String => StoredRegistrationToken
}

/// A registration token made at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRegistrationToken {
    /// `None`: any number.
    pub uses_max: Option<u64>,
    pub uses: u64,
    pub expires_ms: Option<u64>,
}

row! {
    /// A user's profile.
    pub ProfileRow: Usr b'p' Versioned, () => StoredProfile
}

/// A user's profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProfile {
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    /// All other fields: name to JSON.
    pub fields: BTreeMap<String, String>,
}

row! {
    /// Account data: room id (empty: global), type. The row's position says when it changed.
    pub AccountDataRow: Usr b'a' VersionedStamped, (String, String) => StoredAccountData
}

/// The content as JSON; `None`: deleted, which clients must learn.
pub type StoredAccountData = Option<String>;

row! {
    /// Filters by number, as JSON. Never change.
    pub(crate) FilterRow: Usr b'F' Plain, u64 => String
}

row! {
    /// Everybody who can be found by a search, by local part.
    pub(crate) LocalUserRow: Idx b'l' Plain, String => StoredLocalUser
}

/// What a search looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLocalUser {
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}
