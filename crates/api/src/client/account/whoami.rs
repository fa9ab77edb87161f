//! `GET /_matrix/client/v3/account/whoami`

use ruma::api::client::account::whoami::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn whoami(_: App, call: Call<Request>) -> Result<Response, ApiError> {
    let mut response = Response::new(call.who.user_id, call.who.is_guest);
    response.device_id = call.who.device_id;
    Ok(response)
}
