//! `POST /_matrix/client/v3/account/3pid`, deprecated and without a type in ruma: as `3pid/bind`.

use http::StatusCode;
use ruma::{OwnedClientSecret, OwnedSessionId, api::auth_scheme::AccessToken};
use serde::Deserialize;
use serde_json::Value;

use crate::{ApiError, App, asked::Asked};

pub(super) const PATHS: [&str; 2] =
    ["/_matrix/client/v3/account/3pid", "/_matrix/client/r0/account/3pid"];

/// What must be there; nothing of it is used.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "three_pid_creds")]
    _credentials: Credentials,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(rename = "client_secret")]
    _client_secret: OwnedClientSecret,
    #[serde(rename = "sid")]
    _sid: OwnedSessionId,
}

/// The credentials are those of an identity server, and this server talks to none.
pub(super) async fn post_3pids(_: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let Body { .. } = asked.body()?;
    let message = "this server uses no identity servers";
    Err(ApiError::new(StatusCode::FORBIDDEN, "M_THREEPID_AUTH_FAILED", message))
}
