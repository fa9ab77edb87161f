//! `POST /_matrix/client/v3/rooms/{roomId}/ban`

use blaupause_rooms::{ChangeMembership, MembershipAction};
use ruma::api::client::membership::ban_user::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn ban_user(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, user_id, reason, redact_events, .. } = call.body;
    let action = MembershipAction::Ban;
    let change = ChangeMembership::of(room_id, call.who.user_id, user_id, action).because(reason);
    let change = ChangeMembership { redact_events, ..change };
    app.rooms.change_membership(&change).await?;
    Ok(Response::new())
}
