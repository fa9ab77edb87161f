//! `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`

use ruma::api::federation::authorization::get_event_authorization::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_event_authorization(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let access = app.rooms.server_access(&call.who, &call.body.room_id).await?;
    Ok(Response::new(access.event_auth(&call.body.event_id).await?))
}
