use blaupause_notify::MailError;

use crate::ApiError;

impl From<MailError> for ApiError {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Setup(_) => Self::internal(&error),
            MailError::TooMany { retry_after_ms } => Self::limit_exceeded(retry_after_ms),
        }
    }
}
