//! `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`

use ruma::api::federation::membership::create_join_event::v2::{Request, Response, RoomState};

use super::handed_over;
use crate::{ApiError, App, Call};

/// `omit_members` only allows to leave something out, and nothing is left out.
pub(super) async fn create_join_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, event_id, pdu, .. } = call.body;
    let joined = app.rooms.take_join(&handed_over(&call.who, room_id, event_id, pdu)).await?;
    let mut room = RoomState::new();
    room.auth_chain = joined.auth_chain;
    room.state = joined.state;
    room.event = Some(joined.event);
    Ok(Response::new(room))
}
