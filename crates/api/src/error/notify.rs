use blaupause_notify::NotifyError;

use crate::ApiError;

impl From<NotifyError> for ApiError {
    fn from(error: NotifyError) -> Self {
        let text = error.to_string();
        match error {
            // Of the server's own rules none can be removed: for DELETE they are not there (404,
            // as clients know it from other servers).
            NotifyError::RuleUnknown | NotifyError::RuleKept(_) => Self::not_found(text),
            NotifyError::RuleRefused(_) | NotifyError::InvalidPusher(_) => {
                Self::invalid_param(text)
            }
            NotifyError::TooLarge(_) => Self::too_large(text),
            NotifyError::Accounts(error) => error.into(),
            NotifyError::Rooms(error) => error.into(),
            NotifyError::Data(error) => error.into(),
        }
    }
}
