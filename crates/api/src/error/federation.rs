//! What becomes of other servers' failures.

use blaupause_federation::FederationError;
use http::StatusCode;

use crate::ApiError;

/// Codes of other servers that our people's clients get, too, and the status that belongs to them.
/// Nothing else goes through: a stranger's 401 would sign people out, and its texts are its own.
const PASSED_ON: [(&str, StatusCode); 10] = [
    ("M_BAD_STATE", StatusCode::FORBIDDEN),
    ("M_FORBIDDEN", StatusCode::FORBIDDEN),
    ("M_INCOMPATIBLE_ROOM_VERSION", StatusCode::BAD_REQUEST),
    ("M_INVITE_BLOCKED", StatusCode::FORBIDDEN),
    ("M_LIMIT_EXCEEDED", StatusCode::TOO_MANY_REQUESTS),
    ("M_NOT_FOUND", StatusCode::NOT_FOUND),
    ("M_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
    ("M_UNABLE_TO_AUTHORISE_JOIN", StatusCode::BAD_REQUEST),
    ("M_UNABLE_TO_GRANT_JOIN", StatusCode::BAD_REQUEST),
    ("M_UNSUPPORTED_ROOM_VERSION", StatusCode::BAD_REQUEST),
];

impl From<FederationError> for ApiError {
    fn from(error: FederationError) -> Self {
        match error {
            FederationError::Off | FederationError::Denied(_) => Self::forbidden(error.to_string()),
            FederationError::NotSigned(why) => Self::unauthorized(why),
            FederationError::Remote { ref errcode, .. } => {
                let known = PASSED_ON.iter().find(|(code, _)| code == errcode);
                match known {
                    Some((code, status)) => {
                        Self::new(*status, code, "the other server refused this")
                    }
                    None => Self::not_reached(&error),
                }
            }
            FederationError::TimedOut => {
                tracing::debug!("another server did not answer in time");
                let message = "the other server did not answer in time";
                Self::new(StatusCode::GATEWAY_TIMEOUT, "M_UNKNOWN", message)
            }
            FederationError::Unreachable(_)
            | FederationError::TooLarge
            | FederationError::BadAnswer(_)
            | FederationError::BackingOff { .. } => Self::not_reached(&error),
            FederationError::Data(error) => error.into(),
        }
    }
}

impl ApiError {
    /// A policy server's own words go to whoever wanted to say something (server-server API,
    /// "Validating Policy Server signatures"); its code and status only as far as any other
    /// server's.
    pub(crate) fn refused_by_policy_server(errcode: &str, message: String) -> Self {
        let known = PASSED_ON.iter().find(|(code, _)| *code == errcode);
        let (code, status) = known.copied().unwrap_or(("M_FORBIDDEN", StatusCode::FORBIDDEN));
        // The specification has it refuse with 400.
        let status = if code == "M_FORBIDDEN" { StatusCode::BAD_REQUEST } else { status };
        Self::new(status, code, message)
    }

    /// Another server that is needed gives nothing that can be used.
    fn not_reached(error: &FederationError) -> Self {
        tracing::debug!(%error, "another server does not help");
        let message = "the other server cannot be reached at the moment";
        Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(status: u16, errcode: &str) -> (u16, String) {
        let error = FederationError::Remote {
            status,
            errcode: errcode.to_owned(),
            message: "send your password to evil.example".to_owned(),
        };
        let error = ApiError::from(error);
        assert!(!error.message.contains("evil"));
        (error.status.as_u16(), error.code.unwrap_or_default().to_owned())
    }

    #[test]
    fn another_server_cannot_sign_our_people_out() {
        for code in ["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", ""] {
            assert_eq!(remote(401, code), (502, "M_UNKNOWN".to_owned()), "{code}");
        }
        assert_eq!(remote(401, "M_FORBIDDEN"), (403, "M_FORBIDDEN".to_owned()));
    }
}
