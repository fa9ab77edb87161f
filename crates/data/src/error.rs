use blaupause_store::{CommitError, StoreError};

/// Why data could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DataError {
    /// Somebody else changed what the batch was based on. Read again and retry.
    #[error("precondition {pre} of the batch does not hold")]
    Conflict { pre: usize },
    /// A row that we cannot have written.
    #[error("damaged row of kind {0}")]
    Damaged(String),
    /// The batch is beyond the store's limits.
    #[error("batch is beyond the size limits")]
    TooLarge,
    /// Too little space is left on the disk. Nothing was written.
    #[error("the server's disk is full")]
    DiskFull,
    /// The engine cannot be read or written.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

impl From<StoreError> for DataError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Unavailable(why),
            StoreError::Damaged(what) => Self::Damaged(what),
            in_use @ StoreError::InUse { .. } => Self::Unavailable(in_use.to_string()),
        }
    }
}

impl From<CommitError> for DataError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { pre } => Self::Conflict { pre },
            CommitError::TooLarge => Self::TooLarge,
            CommitError::DiskFull => Self::DiskFull,
            CommitError::Fenced => Self::Unavailable("another node owns this shard".into()),
            CommitError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
