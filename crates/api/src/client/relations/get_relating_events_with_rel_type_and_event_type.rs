//! `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`

use blaupause_rooms::RelationsQuery;
use ruma::{
    UInt,
    api::client::relations::get_relating_events_with_rel_type_and_event_type::v1::{
        Request, Response,
    },
};

use super::relations;
use crate::{ApiError, App, Call, client::access::raw};

pub(crate) async fn get_relating_events_with_rel_type_and_event_type(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let body = call.body;
    let query = RelationsQuery {
        rel_type: Some(body.rel_type.to_string()),
        event_type: Some(body.event_type.to_string()),
        from: body.from,
        to: body.to,
        dir: body.dir,
        limit: body.limit.map(Into::into),
        recurse: body.recurse,
    };
    let found = relations(&app, &call.who, &body.room_id, &body.event_id, &query).await?;
    let mut response = Response::new(raw(found.chunk));
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth.map(UInt::new_saturating);
    Ok(response)
}
