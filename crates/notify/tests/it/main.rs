//! Push rules and unread counts on the in-memory store.
#![expect(clippy::large_futures, reason = "a test waits for few futures at a time")]

mod budgets;
mod counts;
mod mail;
mod rules;
mod stored;
mod world;
