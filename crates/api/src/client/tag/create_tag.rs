//! `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`

use ruma::api::client::tag::create_tag::v3::{Request, Response};

use crate::{ApiError, App, Call, client::config::must_know_room};

pub(crate) async fn create_tag(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, room_id, tag, tag_info, .. } = &call.body;
    call.who.must_be(user_id)?;
    must_know_room(&app, user_id, room_id).await?;
    app.accounts.set_tag(user_id, room_id, tag, tag_info).await?;
    Ok(Response::new())
}
