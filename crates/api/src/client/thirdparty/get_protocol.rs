//! `GET /_matrix/client/v3/thirdparty/protocol/{protocol}`

use ruma::api::client::thirdparty::get_protocol::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_protocol(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let found = app.services.protocol(&call.body.protocol).await;
    Ok(Response::new(found.ok_or_else(|| ApiError::not_found("there is no such network here"))?))
}
