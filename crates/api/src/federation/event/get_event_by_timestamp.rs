//! `GET /_matrix/federation/v1/timestamp_to_event/{roomId}`

use ruma::api::federation::event::get_event_by_timestamp::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_event_by_timestamp(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { room_id, ts, dir, .. } = call.body;
    let access = app.rooms.server_access(&call.who, &room_id).await?;
    let event = access.event_at(ts.0.into(), dir).await?;
    let at = ruma::MilliSecondsSinceUnixEpoch(event.origin_server_ts.try_into().unwrap_or(ts.0));
    Ok(Response::new(event.stored.event_id.clone(), at))
}
