//! The ordered key-value engine under Blaupause.
//!
//! Eight tables, batched reads, atomic batches with preconditions, and a position in one stream for
//! every batch. A read is a *vector* of requests answered from one consistent view; there is no
//! `get(key)`. A write is one batch; it is durable when [`Pending`] resolves.
//!
//! What is deliberately absent: iterators and cursors, user transactions, snapshots handed to
//! callers, merge operators, watches, TTLs. Nothing outside this crate knows which engine runs.
//!
//! Start reading at [`Store`], then [`Batch`]; [`conformance`] says what every engine must do.

mod batch;
mod committer;
pub mod conformance;
mod db;
mod error;
mod key;
mod memory;
mod read;

mod rocks;
mod store;

pub use batch::{Batch, LIMITS, Limits, Op, Pre};
pub use db::Db;
pub use error::{CommitError, StoreError};
pub use key::{Key, Part, StreamPos, Table};
pub use memory::MemStore;
pub use read::{Got, Read};
pub use rocks::{RocksSettings, RocksStats, RocksStore};
pub use store::{Chunk, CommitHook, Pending, Store};
