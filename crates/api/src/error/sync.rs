use blaupause_sync::SyncError;
use http::StatusCode;

use crate::ApiError;

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::UnknownPos => {
                let message = "the position is not known, start again without one";
                Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN_POS", message)
            }
            SyncError::Invalid(what) => Self::invalid_param(what),
            SyncError::Data(error) => error.into(),
            SyncError::Accounts(error) => error.into(),
            SyncError::Rooms(error) => error.into(),
            SyncError::E2ee(error) => error.into(),
            SyncError::Notify(error) => error.into(),
        }
    }
}
