//! `GET /_matrix/federation/v1/state_ids/{roomId}`

use ruma::api::federation::event::get_room_state_ids::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_room_state_ids(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let access = app.rooms.server_access(&call.who, &call.body.room_id).await?;
    let found = access.state_ids_at(&call.body.event_id).await?;
    Ok(Response::new(found.auth_chain, found.state))
}
