//! `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`

use ruma::api::client::typing::create_typing_event::v3::{Request, Response, Typing};

use crate::{ApiError, App, Call};

pub(crate) async fn create_typing_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    call.who.must_be(&call.body.user_id)?;
    let timeout = match call.body.state {
        Typing::No => None,
        Typing::Yes(info) => Some(info.timeout),
    };
    app.rooms.set_typing(&call.who.user_id, &call.body.room_id, timeout).await?;
    Ok(Response::new())
}
