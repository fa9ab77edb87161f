//! OAuth's error answers (RFC 6749, section 5.2; RFC 7591, section 3.2.2; RFC 8628, section 3.5).

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use blaupause_accounts::{AccountsError, OAuthError};
use http::StatusCode;
use serde_json::json;

use crate::ApiError;

/// Why a program did not get what it asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        error: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self { status, error, description: description.into() }
    }
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        let text = error.to_string();
        let bad = |code| Self::new(StatusCode::BAD_REQUEST, code, text.clone());
        match error {
            OAuthError::InvalidRequest(_) => bad("invalid_request"),
            OAuthError::InvalidClient => {
                Self::new(StatusCode::UNAUTHORIZED, "invalid_client", text)
            }
            OAuthError::InvalidGrant(_) | OAuthError::Compromised { .. } => bad("invalid_grant"),
            OAuthError::UnauthorizedClient => bad("unauthorized_client"),
            OAuthError::InvalidScope(_) => bad("invalid_scope"),
            OAuthError::AccessDenied => bad("access_denied"),
            OAuthError::AuthorizationPending => bad("authorization_pending"),
            OAuthError::SlowDown => bad("slow_down"),
            OAuthError::ExpiredToken => bad("expired_token"),
            OAuthError::InvalidRedirectUri(_) => bad("invalid_redirect_uri"),
            OAuthError::InvalidClientMetadata(_) => bad("invalid_client_metadata"),
            OAuthError::Accounts(error) => error.into(),
        }
    }
}

impl From<AccountsError> for Refusal {
    fn from(error: AccountsError) -> Self {
        match error {
            // A flood of what strangers can make: later there is room again.
            AccountsError::TooMany(_) | AccountsError::Busy => {
                let text = error.to_string();
                Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", text)
            }
            error => ApiError::from(error).into(),
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let status = error.status();
        let code = match status.as_u16() {
            429 => "temporarily_unavailable",
            500.. => "server_error",
            _ => "invalid_request",
        };
        let description = error.body()["error"].as_str().unwrap_or_default().to_owned();
        Self { status, error: code, description }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        (self.status, Json(body)).into_response()
    }
}
