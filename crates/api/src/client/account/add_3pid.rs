//! `POST /_matrix/client/v3/account/3pid/add`

use http::StatusCode;
use ruma::api::client::account::add_3pid::v3::{Request, Response};

use crate::{ApiError, App, Call};

/// No session can have been validated, because none can be opened.
pub(crate) async fn add_3pid(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    let message = "no third-party identifier has been validated in this session";
    Err(ApiError::new(StatusCode::BAD_REQUEST, "M_THREEPID_AUTH_FAILED", message))
}
