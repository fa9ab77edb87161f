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
pub mod copy;
mod db;
mod error;
mod health;
mod key;
mod memory;
mod postgres;
mod read;
mod rocks;
mod store;

pub use batch::{Batch, LIMITS, Limits, Op, Pre};
pub use db::Db;
pub use error::{CommitError, CopyError, StoreError};
pub use health::Health;
pub use key::{Key, Part, StreamPos, Table};
pub use memory::MemStore;
pub use postgres::{ClientCertificate, PgError, PgSettings, PgStats, PgStore};
pub use read::{Got, Read};
pub use rocks::{DamagedLog, RocksLock, RocksSettings, RocksStats, RocksStore, SpaceLimits};
pub use store::{Chunk, CommitHook, Pending, Row, Store};
