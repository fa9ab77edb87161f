//! `GET /_matrix/federation/v1/state/{roomId}`

use ruma::api::federation::event::get_room_state::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_room_state(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, event_id, .. } = call.body;
    let event = std::slice::from_ref(&event_id);
    let access = app.rooms.server_access_before(&call.who, &room_id, event).await?;
    let found = access.state_at(&event_id).await?;
    Ok(Response::new(found.auth_chain, found.state))
}
