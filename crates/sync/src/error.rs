use blaupause_accounts::AccountsError;
use blaupause_data::DataError;
use blaupause_e2ee::E2eeError;
use blaupause_notify::NotifyError;
use blaupause_rooms::RoomsError;

/// Why a sync was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The position is not one that this server gave, or its connection is gone: start anew.
    #[error("unknown position")]
    UnknownPos,
    /// The request asks for something that cannot be.
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    #[error(transparent)]
    E2ee(#[from] E2eeError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
}
