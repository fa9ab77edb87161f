//! `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`

use ruma::api::client::tag::delete_tag::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn delete_tag(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, room_id, tag, .. } = &call.body;
    call.who.must_be(user_id)?;
    app.accounts.delete_tag(user_id, room_id, tag).await?;
    Ok(Response::new())
}
