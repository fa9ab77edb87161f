//! Mail addresses of people (spec: client-server API, "Adding Account Administrative Contact
//! Information"): proved by a link that only their reader gets, one account per address.
//!
//! Sending the mail is somebody else's task (`notify`): this module says what must be in it.

mod address;
mod owned;
mod proof;
pub(crate) mod rows;

pub use address::{EmailAddress, EmailDomains};
pub use owned::OwnedAddress;
pub use proof::{AskedProof, OpenedProof, ProofPurpose, ProvedAddress, ShownProof};

/// The one kind of address this server proves (spec: appendices, "3PID Types").
pub(crate) const EMAIL: &str = "email";
