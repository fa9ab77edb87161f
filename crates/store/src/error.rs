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
    /// The engine cannot write (disk full, I/O error, stopped). The outcome is unknown.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// Why a read or an open failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A row that cannot be what we wrote.
    #[error("store is damaged: {0}")]
    Damaged(String),
}
