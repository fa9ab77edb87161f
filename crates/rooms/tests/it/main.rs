//! Rooms on the in-memory store.

mod aliases;
mod budgets;
mod create;
mod directory;
mod follow;
mod membership;
mod pipelined;
mod redact;
mod restricted;
mod send;
mod state;
mod upgrade;
mod reading;
mod pages;
mod bundles;
mod relations;
mod receipts;
mod spaces;
mod searching;
