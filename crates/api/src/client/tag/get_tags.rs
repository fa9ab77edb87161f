//! `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`

use ruma::api::client::tag::get_tags::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_tags(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, room_id, .. } = &call.body;
    call.who.must_be(user_id)?;
    Ok(Response::new(app.accounts.tags(user_id, room_id).await?))
}
