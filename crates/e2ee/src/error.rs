use blaupause_accounts::AccountsError;
use blaupause_data::DataError;
use blaupause_federation::FederationError;

/// Why a request about keys or to-device messages was not done.
#[derive(Debug, thiserror::Error)]
pub enum E2eeError {
    /// A key object that does not have the shape the specification asks for.
    #[error("invalid keys: {0}")]
    InvalidKeys(String),
    /// A signature that does not verify.
    #[error("invalid signature: {0}")]
    InvalidSignature(String),
    /// The master key must exist before keys that it signs.
    #[error("there is no master key")]
    NoMasterKey,
    /// More than a limit allows.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// Backups that nobody deletes.
    #[error("too many backup versions: delete old ones first")]
    TooManyBackups,
    /// No such backup version.
    #[error("unknown backup version")]
    BackupUnknown,
    /// A newer backup version exists; only that one is written.
    #[error("wrong backup version, the current one is {current}")]
    BackupOutdated { current: String },
    /// The backup has no such room or session.
    #[error("no such key in the backup")]
    BackupKeyUnknown,
    /// The algorithm of a backup cannot change.
    #[error("the algorithm of a backup version cannot change")]
    BackupAlgorithm,
    /// No such device.
    #[error("unknown device")]
    DeviceUnknown,
    /// Messages of other devices are read by them, with /sync.
    #[error("this is not your dehydrated device")]
    NotDehydrated,
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Another server did not give what it was asked for.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The store failed.
    #[error(transparent)]
    Data(#[from] DataError),
}
