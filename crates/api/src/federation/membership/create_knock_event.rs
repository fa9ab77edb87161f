//! `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`

use ruma::api::federation::membership::{
    RawStrippedState,
    create_knock_event::v1::{Request, Response},
};

use super::handed_over;
use crate::{ApiError, App, Call};

pub(super) async fn create_knock_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, event_id, pdu, .. } = call.body;
    let told = app.rooms.take_knock(&handed_over(&call.who, room_id, event_id, pdu)).await?;
    Ok(Response::new(told.into_iter().map(RawStrippedState::Pdu).collect()))
}
