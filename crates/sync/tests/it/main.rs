//! Sync over the in-memory store.
#![expect(clippy::large_futures, reason = "a test waits for few futures at a time")]

mod announced;
mod chance;
mod clients;
mod memory;
mod order;
mod rules;
mod world;
