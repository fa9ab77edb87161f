//! `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`

use blaupause_rooms::HierarchyQuery;
use ruma::api::client::space::{
    SpaceHierarchyRoomsChunk,
    get_hierarchy::v1::{Request, Response},
};

use crate::{ApiError, App, Call, client::access::raw};

pub(crate) async fn get_hierarchy(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let body = call.body;
    let query = HierarchyQuery {
        from: body.from,
        limit: body.limit.map(Into::into),
        max_depth: body.max_depth.map(Into::into),
        suggested_only: body.suggested_only,
    };
    let found = app.rooms.hierarchy(&call.who.user_id, &body.room_id, &query).await?;
    let mut response = Response::new();
    response.next_batch = found.next_batch;
    let rooms = found.rooms.into_iter();
    response.rooms = rooms
        .map(|(summary, children)| SpaceHierarchyRoomsChunk::new(summary, raw(children)))
        .collect();
    Ok(response)
}
