//! `POST /_matrix/client/v3/rooms/{roomId}/leave`

use blaupause_rooms::{ChangeMembership, MembershipAction};
use ruma::api::client::membership::leave_room::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn leave_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, reason, .. } = call.body;
    let action = MembershipAction::Leave;
    let change = ChangeMembership::own(room_id, call.who.user_id, action).because(reason);
    app.rooms.change_membership(&change).await?;
    Ok(Response::new())
}
