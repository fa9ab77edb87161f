//! `POST /_matrix/client/v3/knock/{roomIdOrAlias}`

use blaupause_rooms::{ChangeMembership, MembershipAction};
use ruma::api::client::knock::knock_room::v3::{Request, Response};

use crate::{ApiError, App, Call, client::membership::room_of};

pub(crate) async fn knock_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id_or_alias, reason, via, .. } = call.body;
    let room = room_of(&app, room_id_or_alias, via).await?;
    let (user, action) = (call.who.user_id, MembershipAction::Knock);
    let mut change = ChangeMembership::own(room.room_id, user, action).because(reason);
    change.via = room.servers;
    app.rooms.change_membership(&change).await?;
    Ok(Response::new(change.room))
}
