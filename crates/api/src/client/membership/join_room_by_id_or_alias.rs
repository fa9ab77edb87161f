//! `POST /_matrix/client/v3/join/{roomIdOrAlias}`

use ruma::api::client::membership::join_room_by_id_or_alias::v3::{Request, Response};

use super::{join, room_of};
use crate::{ApiError, App, Call};

pub(crate) async fn join_room_by_id_or_alias(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id_or_alias, reason, via, .. } = call.body;
    let room = room_of(&app, room_id_or_alias, via).await?;
    let room_id = room.room_id.clone();
    join(&app, &call.who, room, reason, &call.raw).await?;
    Ok(Response::new(room_id))
}
