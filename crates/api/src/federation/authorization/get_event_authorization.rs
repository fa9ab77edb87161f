//! `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`

use ruma::api::federation::authorization::get_event_authorization::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_event_authorization(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, event_id, .. } = call.body;
    let event = std::slice::from_ref(&event_id);
    let access = app.rooms.server_access_before(&call.who, &room_id, event).await?;
    Ok(Response::new(access.event_auth(&event_id).await?))
}
