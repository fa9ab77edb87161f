//! What is stored about addresses. Who owns one lies in a partition of the address.

use blaupause_data::row;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::ProofPurpose;
use crate::rows::TokenHash;

row! {
    /// Addresses of a user: medium, address.
    pub(crate) AddressRow: Usr b'3' Plain, (String, String) => StoredAddress
}

/// An address of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredAddress {
    pub validated_ms: u64,
    pub added_ms: u64,
}

row! {
    /// Whose an address is. The version is when it became theirs.
    pub(crate) AddressOwnerRow: Idx b'3' Versioned, () => StoredAddressOwner
}

/// Whose an address is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredAddressOwner {
    /// `email/a@example.org`, compared on load: two names could have one partition.
    pub name: String,
    pub user_id: OwnedUserId,
}

row! {
    /// Addresses that somebody is about to prove, by session id.
    pub(crate) ProofRow: Idx b'V' Versioned, String => StoredProof
}

/// An address that somebody is about to prove, or has proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredProof {
    pub purpose: ProofPurpose,
    pub address: String,
    /// SHA-256 of the client's secret.
    pub client_secret: TokenHash,
    /// The highest number of a mail that the client asked for.
    pub send_attempt: u64,
    /// What the last mails' links hold, as hashes.
    pub tokens: Vec<TokenHash>,
    pub next_link: Option<String>,
    pub expires_ms: u64,
    pub validated_ms: Option<u64>,
}
