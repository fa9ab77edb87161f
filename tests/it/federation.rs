//! Three servers that know each other and nobody else, on loopback, over real TLS with an authority
//! of their own. Each direction of each link goes through a proxy of the test, which can cut it.
//!
//! Whatever happens to servers and links: afterwards all have the same resolved state, and every
//! acknowledged event, once.

mod away;
mod closed;
mod killed;
mod link;
mod network;
mod partition;
mod room;
mod together;
