//! `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`, and v1 for servers that know no other.

use ruma::api::federation::membership::create_join_event::v2::{Request, Response, RoomState};

use super::handed_over;
use crate::{ApiError, App, Call};

pub(super) async fn create_join_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, event_id, pdu, omit_members, .. } = call.body;
    let handed = handed_over(&call.who, room_id, event_id, pdu);
    let joined = if omit_members {
        app.rooms.take_join_without_members(&handed).await?
    } else {
        app.rooms.take_join(&handed).await?
    };
    let mut room = RoomState::new();
    room.auth_chain = joined.auth_chain;
    room.state = joined.state;
    room.event = Some(joined.event);
    room.members_omitted = joined.servers.is_some();
    room.servers_in_room =
        joined.servers.map(|servers| servers.iter().map(ToString::to_string).collect());
    Ok(Response::new(room))
}
