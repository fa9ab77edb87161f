//! `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`

use ruma::{
    api::client::room::get_room_event::v3::{Request, Response},
    serde::Raw,
};

use crate::{ApiError, App, Call, client::access::access};

pub(crate) async fn get_room_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let event = access.event(&call.body.event_id).await?;
    Ok(Response::new(Raw::from_json(event.json().await?)))
}
