use blaupause_notify::NotifyError;
use http::StatusCode;

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
            NotifyError::NotInThread => {
                Self::new(StatusCode::BAD_REQUEST, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD", text)
            }
            NotifyError::UnsubscribedSince => {
                let code = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION";
                Self::new(StatusCode::CONFLICT, code, text)
            }
            NotifyError::Busy => Self::new(StatusCode::CONFLICT, "M_UNKNOWN", text),
            NotifyError::Accounts(error) => error.into(),
            NotifyError::Rooms(error) => error.into(),
            NotifyError::Data(error) => error.into(),
        }
    }
}
