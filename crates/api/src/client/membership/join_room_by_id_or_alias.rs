//! `POST /_matrix/client/v3/join/{roomIdOrAlias}`

use ruma::api::client::membership::join_room_by_id_or_alias::v3::{Request, Response};

use super::{join, room_of};
use crate::{ApiError, App, Call};

pub(crate) async fn join_room_by_id_or_alias(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let room_id = room_of(&app, call.body.room_id_or_alias).await?;
    join(&app, &call.who, &room_id, call.body.reason).await?;
    Ok(Response::new(room_id))
}
