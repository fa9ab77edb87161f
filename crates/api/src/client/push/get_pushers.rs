//! `GET /_matrix/client/v3/pushers`

use ruma::api::client::push::get_pushers::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_pushers(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(app.notify.pushers(&call.who.user_id).await?))
}
