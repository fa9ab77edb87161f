//! What the tests with matrix-sdk stand on: a real server process ([`Server`]), people with a
//! real client each ([`Person`]), and waiting for a condition ([`until`]).
//!
//! Deliberately absent: any HTTP of our own. Everything that reaches the server, the library sends.

#![recursion_limit = "256"]

mod homeserver;
mod pair;
mod person;
mod scenario;
mod server;
mod talk;
mod until;

pub use homeserver::Homeserver;
pub use pair::{Neighbor, Pair, between};
pub use person::{PASSWORD, Person};
pub use scenario::scenario;
pub use server::{SERVER_NAME, Server};
pub use talk::{Talk, bodies, item_of, message, text};
pub use until::{PATIENCE, until};
