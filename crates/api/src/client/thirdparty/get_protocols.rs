//! `GET /_matrix/client/v3/thirdparty/protocols`

use ruma::api::client::thirdparty::get_protocols::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_protocols(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(app.services.protocols().await))
}
