//! `POST /_matrix/client/v3/rooms/{roomId}/invite`

use blaupause_rooms::{ChangeMembership, MembershipAction, RoomsError};
use ruma::api::client::membership::invite_user::v3::{InvitationRecipient, Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn invite_user(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, recipient, .. } = call.body;
    let InvitationRecipient::UserId(invited) = recipient else {
        return Err(RoomsError::ThirdPartyInvite.into());
    };
    // It may be the first that is heard of them here.
    app.services.ask_for_user(&invited.user_id).await;
    let action = MembershipAction::Invite;
    let change = ChangeMembership::of(room_id, call.who.user_id, invited.user_id, action)
        .because(invited.reason);
    app.rooms.change_membership(&change).await?;
    Ok(Response::new())
}
