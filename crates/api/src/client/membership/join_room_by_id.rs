//! `POST /_matrix/client/v3/rooms/{roomId}/join`

use ruma::api::client::membership::join_room_by_id::v3::{Request, Response};

use super::{ReachedRoom, join};
use crate::{ApiError, App, Call};

pub(crate) async fn join_room_by_id(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, reason, .. } = call.body;
    let room = ReachedRoom { room_id: room_id.clone(), servers: Vec::new() };
    join(&app, &call.who, room, reason, &call.raw).await?;
    Ok(Response::new(room_id))
}
