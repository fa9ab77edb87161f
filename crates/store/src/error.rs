use std::path::{Path, PathBuf};

use crate::copy::Sums;

/// Why a batch was not committed. Nothing of it was written, except after `Unavailable`.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommitError {
    /// Precondition number `pre` did not hold.
    #[error("precondition {pre} does not hold")]
    Conflict { pre: usize },
    /// Another node owns the batch's home shard.
    #[error("another node owns this shard")]
    Fenced,
    /// Beyond [`crate::LIMITS`].
    #[error("batch is beyond the size limits")]
    TooLarge,
    /// Too little space is left on the disk. Nothing was written.
    #[error("the server's disk is full")]
    DiskFull,
    /// The engine cannot write (I/O error, stopped). The outcome is unknown.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// Why a store was not copied. The source is as it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is itself a target of a copy that did not end.
    #[error("the source is an unfinished copy of another store")]
    SourceUnfinished,
    /// There are rows, and not from an unfinished copy.
    #[error("the target holds data already")]
    TargetInUse,
    /// The target holds the beginning of a copy of something else.
    #[error(
        "the target holds the beginning of a copy, but the source is another one or has changed \
         since"
    )]
    SourceChanged,
    /// Everything was written, and the target has other rows nevertheless.
    #[error("the target is not what the source is")]
    Differs { wanted: Box<Sums>, found: Box<Sums> },
}

/// Why a read or an open failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("{}", in_use(path, *holder))]
    InUse {
        path: PathBuf,
        /// Its process id, if that is known.
        holder: Option<u32>,
    },
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A row that cannot be what we wrote.
    #[error("store is damaged: {0}")]
    Damaged(String),
}

fn in_use(path: &Path, holder: Option<u32>) -> String {
    let path = path.display();
    match holder {
        Some(pid) => format!("the database {path} is in use by the process {pid}"),
        None => format!("the database {path} is in use by another process"),
    }
}
