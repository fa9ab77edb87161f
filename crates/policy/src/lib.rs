//! House rules: who may do what on this server, with a reason for each refusal. Pure.
//!
//! So far: which other servers this one has anything to do with, and what becomes of rooms with
//! people of the others ([`ServerPolicy`]). Rules about
//! events will be asked in one place, `Appending::push` in `rooms` (`crates/rooms/src/append.rs`),
//! through which every local event goes.

mod list;
mod mixed;
mod servers;

pub use list::ServerList;
pub use mixed::MixedRooms;
pub use servers::{FederationMode, ServerDenied, ServerPattern, ServerPolicy};
