//! Where the pure core and the engine meet: typed rows, batches, the log, events and room state
//! as read back, and the environment (clock, randomness, tasks).
//!
//! What is deliberately absent: rules. Nothing here decides whether something is allowed; nothing
//! here knows HTTP. A batch is built by the domain that owns the action.
//!
//! Start reading at [`rows`] (what is stored), then [`ReadSet`] and [`Write`] (how), then
//! [`Change`] and [`Feed`] (who is told).

mod change;
mod codec;
pub mod conformance;
mod env;
mod error;
mod events;
mod feed;
mod follower;
mod log;
mod members;
mod open;
mod parts;
mod place;
mod read;
mod row;
pub mod rows;
mod servers;
mod sharing;
mod signing;
mod state;
#[cfg(test)]
mod stored;
mod tail;
#[cfg(test)]
mod tests;
mod waves;
mod write;

pub use blaupause_store::{Db, LIMITS, Part, StreamPos, Table};

pub use change::{Change, Member, Passing};
pub use codec::{KeyFields, KeyReader, KeyWriter, NOW};
pub use env::{Clock, Env};
pub use error::DataError;
pub use events::Event;
pub use feed::{Committed, Feed, OnCommitted, OnPassing};
pub use follower::{Follower, NewLines};
pub use log::LogState;
pub use open::Data;
pub use parts::{DIRECTORY, Parts};
pub use place::Place;
pub use read::{Answers, Many, One, Order, Page, ReadSet};
pub use row::{Found, Prefix, Row};
pub use signing::{OldSigningKey, SigningKey};
pub use tail::Stretch;
pub use waves::{together, try_together};
pub use write::Write;
