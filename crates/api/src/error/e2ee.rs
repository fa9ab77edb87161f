use blaupause_e2ee::E2eeError;
use http::StatusCode;

use crate::ApiError;

impl From<E2eeError> for ApiError {
    fn from(error: E2eeError) -> Self {
        let text = error.to_string();
        match error {
            E2eeError::InvalidKeys(_) => Self::bad_json(text),
            E2eeError::BackupAlgorithm => Self::invalid_param(text),
            E2eeError::InvalidSignature(_) => {
                Self::new(StatusCode::BAD_REQUEST, "M_INVALID_SIGNATURE", text)
            }
            E2eeError::NoMasterKey => Self::missing_param(text),
            E2eeError::TooLarge(_) => Self::too_large(text),
            E2eeError::TooManyBackups => {
                Self::new(StatusCode::BAD_REQUEST, "M_LIMIT_EXCEEDED", text)
            }
            E2eeError::BackupUnknown | E2eeError::BackupKeyUnknown | E2eeError::DeviceUnknown => {
                Self::not_found(text)
            }
            E2eeError::BackupOutdated { current } => {
                Self::new(StatusCode::FORBIDDEN, "M_WRONG_ROOM_KEYS_VERSION", text)
                    .with("current_version", current)
            }
            E2eeError::NotDehydrated => Self::forbidden(text),
            E2eeError::Accounts(error) => error.into(),
            E2eeError::Federation(error) => error.into(),
            E2eeError::Data(error) => error.into(),
        }
    }
}
