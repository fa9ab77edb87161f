//! `GET /_matrix/federation/v1/hierarchy/{roomId}`

use ruma::{
    api::federation::space::{
        SpaceHierarchyParentSummary,
        get_hierarchy::v1::{Request, Response},
    },
    serde::Raw,
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_hierarchy(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, suggested_only, .. } = call.body;
    let found = app.rooms.space_for_server(&call.who, &room_id, suggested_only).await?;
    let links = found.links.into_iter().map(Raw::from_json).collect();
    let mut response = Response::new(SpaceHierarchyParentSummary::new(found.space, links));
    response.children = found.children;
    response.inaccessible_children = found.inaccessible;
    Ok(response)
}
