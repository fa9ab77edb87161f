//! `POST /_matrix/federation/v1/get_missing_events/{roomId}`

use blaupause_rooms::Gap;
use ruma::api::federation::event::get_missing_events::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_missing_events(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let body = call.body;
    let (room, latest) = (&body.room_id, &body.latest_events);
    let access = app.rooms.server_access_before(&call.who, room, latest).await?;
    let gap = Gap {
        earliest: body.earliest_events,
        latest: body.latest_events,
        limit: body.limit.into(),
        min_depth: body.min_depth.into(),
    };
    Ok(Response::new(access.missing(&gap).await?))
}
