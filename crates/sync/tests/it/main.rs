//! Sync over the in-memory store.
#![expect(clippy::large_futures, reason = "a test waits for few futures at a time")]
#![recursion_limit = "256"] // futures of a whole server, checked for being Send

mod announced;
mod chance;
mod clients;
mod memory;
mod order;
mod rules;
mod world;
