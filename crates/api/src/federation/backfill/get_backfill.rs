//! `GET /_matrix/federation/v1/backfill/{roomId}`

use ruma::api::federation::backfill::get_backfill::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_backfill(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, v, limit, .. } = call.body;
    let access = app.rooms.server_access(&call.who, &room_id).await?;
    let pdus = access.backfill(&v, limit.into()).await?;
    let origin = app.data.server_name().to_owned();
    Ok(Response::new(origin, app.data.env().now(), pdus))
}
