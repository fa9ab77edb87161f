//! `POST /_matrix/client/v3/knock/{roomIdOrAlias}`

use blaupause_rooms::{ChangeMembership, MembershipAction};
use ruma::api::client::knock::knock_room::v3::{Request, Response};

use crate::{ApiError, App, Call, client::membership::room_of};

pub(crate) async fn knock_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let room_id = room_of(&app, call.body.room_id_or_alias).await?;
    let action = MembershipAction::Knock;
    let change =
        ChangeMembership::own(room_id.clone(), call.who.user_id, action).because(call.body.reason);
    app.rooms.change_membership(&change).await?;
    Ok(Response::new(room_id))
}
