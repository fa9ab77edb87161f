//! `GET /_matrix/client/v3/account/3pid`

use ruma::api::client::account::get_3pids::v3::{Request, Response};

use crate::{ApiError, App, Call};

/// Nobody has a mail address or telephone number here, as long as this server sends neither.
pub(crate) async fn get_3pids(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(Vec::new()))
}
