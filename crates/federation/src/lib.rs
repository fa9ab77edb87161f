//! Other servers: find, trust, sign requests, send, keep what is owed.
//!
//! [`Federation`] is the handle. What leaves goes through [`Federation::call`]: may we speak with
//! that server at all ([`Federation::permits`], the one home of closed federation), is it not in a
//! pause after failures, sign, send through the [`Wire`], understand. What arrives is attributed
//! to a server by [`Federation::verify_request`], and its events by the keys of
//! [`Federation::keys_for`].
//!
//! Absent: rooms and what their events mean (`rooms`), HTTP answers (`api`).
//!
//! Start reading at `request.rs`, then `keys.rs`, then `transport.rs`.

mod arriving;
mod discover;
mod dns;
mod error;
mod handle;
mod keys;
mod notary;
mod peers;
mod profiles;
mod received;
mod request;
mod sender;
mod settings;
#[cfg(test)]
mod stored;
mod transport;
mod well_known;
mod wire;
mod xmatrix;

pub use arriving::Arriving;
pub use error::FederationError;
pub use handle::Federation;
pub use keys::{
    EventKeys,
    stored::{ServerKeys, ServerKeysRow, StoredKey},
};
pub use received::{Received, ServerTurn};
pub use request::SignedRequest;
pub use sender::{PassingEdu, PresencePush};
pub use settings::{Pauses, Settings};
pub use transport::{Https, HttpsSettings, SetupError};
pub use wire::{CallLimits, Exchange, Opening, Wire, WireError};
