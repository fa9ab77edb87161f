//! `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`, and v1 for servers that know no other.

use ruma::api::federation::membership::create_leave_event::v2::{Request, Response};

use super::handed_over;
use crate::{ApiError, App, Call};

pub(super) async fn create_leave_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, event_id, pdu, .. } = call.body;
    app.rooms.take_leave(&handed_over(&call.who, room_id, event_id, pdu)).await?;
    Ok(Response::new())
}
