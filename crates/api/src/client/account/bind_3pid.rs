//! `POST /_matrix/client/v3/account/3pid/bind`

use http::StatusCode;
use ruma::api::client::account::bind_3pid::v3::{Request, Response};

use crate::{ApiError, App, Call};

/// This server talks to no identity server.
pub(crate) async fn bind_3pid(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    let message = "this server uses no identity servers";
    Err(ApiError::new(StatusCode::FORBIDDEN, "M_THREEPID_DENIED", message))
}
