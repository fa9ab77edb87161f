//! The one place that knows status codes and error codes.

mod accounts;
mod e2ee;
mod media;
mod notify;
mod rooms;
mod sync;

use std::fmt;

use axum::response::{IntoResponse, Response};
use blaupause_data::DataError;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

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

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", message)
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

    /// A mistake of ours. The text goes to the log, the client gets a number to quote.
    pub(crate) fn internal(reason: &impl fmt::Display) -> Self {
        let mut id = [0; 4];
        // Without random bytes all incidents have the same number: no reason to fail again.
        let _ = getrandom::fill(&mut id);
        let id = u32::from_be_bytes(id);
        tracing::error!(incident = format!("{id:08x}"), %reason, "request failed");
        let message = format!("internal error, please quote {id:08x}");
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
            DataError::Damaged(_) | DataError::Unavailable(_) => Self::internal(&error),
        }
    }
}
