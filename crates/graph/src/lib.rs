//! What a Matrix room is, as pure functions: making, checking, authorizing, ordering, storing and
//! merging events. Room versions 2 to 12, as far as ruma's rules know them.
//!
//! # What is here
//! * **One event.** A [`Draft`] and its [`Parents`] become a signed [`Pdu`] by [`seal`]; raw JSON
//!   from another server becomes one by [`admit`] (or [`Unverified`], if keys have to be fetched
//!   first). [`redact`] takes content away, [`visible`] says who may read what.
//! * **Rights.** [`auth_types`] and [`state_needed`] name the state an event depends on,
//!   [`authorize`] and [`authorize_by_auth_events`] apply the rules, [`may_redact`] decides whether
//!   a redaction has an effect.
//! * **State.** [`tree`] keeps every version of a room's state as a [`StateRoot`]; versions share
//!   pages. [`merge`] resolves the states of several branches.
//! * **Order.** [`order`]: topological order, forward extremities, depth. [`AuthGraph`]: auth
//!   chains, auth difference, conflicted subgraph.
//!
//! Rooms count in small numbers of their own ([`EventNo`], [`StateKeyNo`], [`PageNo`]). Code that
//! may lack data returns a [`Step`]: done, or what to fetch before asking again. A merge then is
//!
//! ```text
//! let mut bag = Bag::new();                  // keep what is resident: auth graph, pages, events
//! loop {
//!     match merge(&states, head.next_page, &bag, &rules)? {
//!         Step::Done(written) => break written,     // root, and pages to put into the batch
//!         Step::Need(need) => fill(&mut bag, need), // everything in ONE read
//!     }
//! }
//! ```
//!
//! # What is not here, on purpose
//! No I/O, no async, no clock, no randomness, no logging: the same input gives the same output.
//! No knowledge of the store, of HTTP or of error codes. No state resolution of our own (ruma's is
//! used, fed a reduced problem), none for room version 1. No numbers but the integers of canonical
//! JSON, in room versions 2 to 5 neither: an event with a fraction is refused there, too. No validity period of signing
//! keys (the key ring knows it), no server ACLs, no soft-fail (the caller asks [`authorize`] once
//! more, with the current state). No limits on how many events to gather.
//!
//! # Where to start
//! `event.rs`, then `authorize.rs`; `tree.rs` for the state; `resolve.rs` last. The tests in
//! `tests/it` are named by the rule they prove; `merge.rs` there compares with the plain
//! algorithm.

mod admit;
pub mod auth;
mod authorize;
mod event;
mod ids;
mod limits;
mod named;
pub mod order;
mod owned;
mod policy_server;
mod redact;
mod refusal;
mod resolve;
mod seal;
mod step;
pub mod sticky;
pub mod tree;
mod visible;

pub use admit::{Unverified, admit};
pub use auth::AuthGraph;
pub use authorize::{
    StateLookup, auth_types, authorize, authorize_by_auth_events, check_state_independent,
    may_redact, power_level, state_needed,
};
pub use event::{Draft, Parents, Pdu};
pub use ids::{EventNo, PageNo, StateKeyNo, StateRoot};
pub use limits::{EVENT_SIZE_BYTES_MAX, FIELD_SIZE_BYTES_MAX};
pub use named::NamedEvents;
pub use owned::{OWNED_STATE_VERSIONS, rules_of};
pub use policy_server::PolicyServer;
pub use redact::redact;
pub use refusal::Refusal;
pub use resolve::{Bag, merge};
pub use seal::{countersign, seal, seal_json, template};
pub use step::{Need, Step};
pub use visible::{Sight, membership_of, visibility_of, visible};
