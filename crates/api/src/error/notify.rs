use blaupause_notify::{NotifyError, PingFailed};
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

impl From<PingFailed> for ApiError {
    fn from(failed: PingFailed) -> Self {
        let text = failed.to_string();
        let bad = StatusCode::BAD_GATEWAY;
        match failed {
            PingFailed::NoUrl => Self::new(StatusCode::BAD_REQUEST, "M_URL_NOT_SET", text),
            PingFailed::NoConnection(_) => Self::new(bad, "M_CONNECTION_FAILED", text),
            PingFailed::TooSlow => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "M_CONNECTION_TIMEOUT", text)
            }
            PingFailed::Status { status, body } => {
                Self::new(bad, "M_BAD_STATUS", text).with("status", status).with("body", body)
            }
        }
    }
}
