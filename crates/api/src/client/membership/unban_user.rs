//! `POST /_matrix/client/v3/rooms/{roomId}/unban`

use blaupause_rooms::{ChangeMembership, MembershipAction};
use ruma::api::client::membership::unban_user::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn unban_user(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, user_id, reason, .. } = call.body;
    let action = MembershipAction::Unban;
    let change = ChangeMembership::of(room_id, call.who.user_id, user_id, action).because(reason);
    app.rooms.change_membership(&change).await?;
    Ok(Response::new())
}
