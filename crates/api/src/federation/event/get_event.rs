//! `GET /_matrix/federation/v1/event/{eventId}`

use ruma::api::federation::event::get_event::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let pdu = app.rooms.event_for_server(&call.who, &call.body.event_id).await?;
    let origin = app.data.server_name().to_owned();
    Ok(Response::new(origin, app.data.env().now(), pdu))
}
