//! `GET /_matrix/federation/v1/state/{roomId}`

use ruma::api::federation::event::get_room_state::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_room_state(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = app.rooms.server_access(&call.who, &call.body.room_id).await?;
    let found = access.state_at(&call.body.event_id).await?;
    Ok(Response::new(found.auth_chain, found.state))
}
