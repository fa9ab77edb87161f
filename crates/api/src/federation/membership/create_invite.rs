//! `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`, and v1 for room versions that nobody
//! here knows.

use blaupause_rooms::{Invited, RoomsError};
use ruma::{
    RoomVersionId, UserId,
    api::federation::membership::create_invite::{
        v1,
        v2::{Request, Response},
    },
};
use serde::Deserialize;

use crate::{ApiError, App, Call};

pub(super) async fn create_invite(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, event_id, room_version, event, invite_room_state, .. } = call.body;
    if let Some(user) = invited_user(event.get())
        && app.is_local(&user)
    {
        // It may be the first that is heard of them here.
        app.services.ask_for_user(&user).await;
    }
    let invited = Invited {
        origin: call.who.clone(),
        room: room_id,
        event_id,
        version: room_version,
        event,
        state: invite_room_state,
    };
    Ok(Response::new(app.rooms.take_invite(invited).await?))
}

fn invited_user(event: &str) -> Option<ruma::OwnedUserId> {
    #[derive(Deserialize)]
    struct Event {
        state_key: String,
    }
    let event: Event = serde_json::from_str(event).ok()?;
    UserId::parse(event.state_key).ok()
}

/// Version 1 names no room version: it is for the first two.
pub(super) async fn create_invite_v1(
    _: App,
    _: Call<v1::Request>,
) -> Result<v1::Response, ApiError> {
    Err(RoomsError::IncompatibleVersion(RoomVersionId::V1).into())
}
