//! The one place that knows status codes and error codes.

mod accounts;
mod e2ee;
mod federation;
mod mail;
mod media;
mod notify;
mod rooms;
mod sso;
mod sync;

use std::fmt;

use axum::response::{IntoResponse, Response};
use blaupause_data::DataError;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

pub(crate) use rooms::delayed_failure;

use crate::RequestId;

/// When a client may ask again while the database is away. Short, because nothing else tells it
/// that the database is back.
const AWAY_RETRY_MS: u64 = 2_000;

/// An answer that says why not (spec: client-server API, "Standard error response").
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    /// `None` for the 401 of user-interactive authentication, which is no error.
    code: Option<&'static str>,
    message: String,
    extra: Map<String, Value>,
}

impl ApiError {
    /// Any code. Prefer the named ones below.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Some(code), message: message.into(), extra: Map::new() }
    }

    /// With one more field.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(field.to_owned(), value.into());
        self
    }

    pub(crate) fn not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", message)
    }

    pub(crate) fn bad_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_BAD_JSON", message)
    }

    pub(crate) fn invalid_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", message)
    }

    pub(crate) fn missing_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", message)
    }

    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message)
    }

    pub(crate) fn guest() -> Self {
        let message = "guests may not do this";
        Self::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", message)
    }

    /// A suspended user may not do this (spec: client-server API, "Account suspension").
    pub(crate) fn suspended() -> Self {
        let message = "you cannot do this while your account is suspended";
        Self::new(StatusCode::FORBIDDEN, "M_USER_SUSPENDED", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", message)
    }

    /// The request did not arrive in time.
    pub(crate) fn too_slow() -> Self {
        let message = "the request body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", message)
    }

    /// The operator knows; clients may try again later.
    pub(crate) fn disk_full(message: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "M_RESOURCE_LIMIT_EXCEEDED", message)
    }

    /// The database is away. Whoever asks again under the same transaction id does nothing twice.
    pub(crate) fn away(reason: &impl fmt::Display) -> Self {
        // The store has told the operator, once; here are as many lines as there are requests.
        tracing::debug!(%reason, "request refused");
        let message = "the server's database cannot be reached at the moment, try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", message)
            .with("retry_after_ms", AWAY_RETRY_MS)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", message)
    }

    pub(crate) fn missing_token() -> Self {
        let message = "an access token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", message)
    }

    /// `soft_logout`: the client may sign in again and keep its data.
    pub(crate) fn unknown_token(soft_logout: bool) -> Self {
        let message = "the access token is not known";
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", message)
            .with("soft_logout", soft_logout)
    }

    pub(crate) fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "there is nothing at this path")
    }

    pub(crate) fn wrong_method() -> Self {
        let message = "this path is not for this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", message)
    }

    pub(crate) fn limit_exceeded(retry_after_ms: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "too many requests")
            .with("retry_after_ms", retry_after_ms)
    }

    /// What a client has to do to prove who it is: the body of a 401.
    pub(crate) fn uia(body: Map<String, Value>) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self { status, code: None, message: String::new(), extra: body }
    }

    /// A mistake of ours. The text goes to the log, the client gets the request's id to quote.
    pub(crate) fn internal(reason: &impl fmt::Display) -> Self {
        let id = RequestId::current();
        let id = id.as_ref().map_or("-", RequestId::as_str);
        tracing::error!(request_id = id, %reason, "request failed");
        let message = format!("internal error, please quote {id}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", message)
    }

    /// The status, for metrics and tests.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl ApiError {
    /// The error as JSON.
    pub(crate) fn body(self) -> Value {
        let mut body = self.extra;
        if let Some(code) = self.code {
            body.insert("errcode".into(), code.into());
            body.insert("error".into(), self.message.into());
        }
        Value::Object(body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = self.body();
        let retry_after = body.get("retry_after_ms").and_then(Value::as_u64);
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(ms) = retry_after {
            let seconds = HeaderValue::from(ms.div_ceil(1000));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        // What still comes of a body that is too slow is not waited for (RFC 9110, section 15.5.9).
        if status == StatusCode::REQUEST_TIMEOUT {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<DataError> for ApiError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::TooLarge => Self::too_large("the request is too large"),
            // Conflicts are retried where they happen; one that arrives here came too often.
            DataError::Conflict { .. } => {
                Self::new(StatusCode::CONFLICT, "M_UNKNOWN", "somebody else was faster, try again")
            }
            // The store has told the operator.
            DataError::DiskFull => Self::disk_full(error.to_string()),
            DataError::Unavailable(_) => Self::away(&error),
            DataError::Damaged(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_answered_with_503_and_retry_after() {
        let error = ApiError::from(DataError::Unavailable("10.0.0.1 does not answer".into()));
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!error.message.contains("10.0.0.1"), "clients learn nothing of the inside");
        let answer = error.into_response();
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
    }
}
