//! `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`

use blaupause_rooms::RoomsError;
use ruma::{
    api::client::room::get_room_event::v3::{Request, Response},
    serde::Raw,
};

use crate::{ApiError, App, Call, client::access::reader};

pub(crate) async fn get_room_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = match app.rooms.access(&reader(&call.who), &call.body.room_id).await {
        // "The event was not found or you do not have permission to read this event."
        Err(RoomsError::NotJoined) => Err(RoomsError::EventUnknown),
        access => access,
    };
    let event = access?.event(&call.body.event_id).await?;
    Ok(Response::new(Raw::from_json(event.json().await?)))
}
