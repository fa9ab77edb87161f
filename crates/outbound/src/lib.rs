//! HTTP to others: push gateways, application services, identity providers, pages to preview.
//!
//! One exchange has a time limit and a limit on the answer's size, follows no redirect, keeps no
//! cookie. Who named the address decides where it may lead: what the operator configured may be
//! anywhere; what a user named must be in a public network, and that is checked on the addresses
//! that are then connected to, so that a name cannot resolve to something else in between.
//!
//! Absent: retries, queues and what is asked (the crates that ask), other Matrix servers
//! (`federation`, whose names resolve by rules of their own).

mod address;
mod arriving;
mod client;
mod error;
mod resolve;
mod tls;

pub use address::AllowedNetworks;
pub use arriving::Arriving;
pub use client::{Limits, Outbound, OutboundSettings, Reach};
pub use error::OutboundError;
pub use tls::{IdentityFiles, TlsError, TlsSettings, client};
