//! Rooms on the in-memory store.
#![expect(clippy::large_futures, reason = "a test waits for few futures at a time")]

mod aliases;
mod budgets;
mod bundles;
mod create;
mod delayed;
mod directory;
mod follow;
mod membership;
mod pages;
mod pipelined;
mod reading;
mod receipts;
mod redact;
mod relations;
mod restricted;
mod retention;
mod searching;
mod send;
mod spaces;
mod state;
mod sticky;
mod stored;
mod sweep;
mod upgrade;
