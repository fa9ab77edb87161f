//! The room directory.

mod get_public_rooms;
mod get_public_rooms_filtered;
mod get_room_visibility;
mod set_room_visibility;

use axum::Router;
use blaupause_rooms::{DirectoryPage, DirectoryQuery, Network};
use http::Method;
use ruma::{
    ServerName, UInt,
    api::{
        Metadata, OutgoingResponse, OutgoingResponseExt, client::directory::get_public_rooms::v3,
        federation::directory::get_public_rooms_filtered::v1 as get_public_rooms_filtered_of,
        path_builder::PathBuilder,
    },
    directory::{Filter, RoomNetwork},
};

use serde_json::Value;

use crate::{ApiError, App, Serve};

/// Rooms that another server is asked for at once.
const ROOMS_MAX: u32 = 500;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for path in v3::Request::PATH_BUILDER.all_paths() {
        router = router.serve_raw(Method::GET, path, get_public_rooms::get_public_rooms);
    }
    router
        .serve_or(get_public_rooms_filtered::get_public_rooms_filtered)
        .serve(get_room_visibility::get_room_visibility)
        .serve(set_room_visibility::set_room_visibility)
}

/// A page as JSON in which every room says its join rule, also the one that may be left out:
/// clients were seen to need it.
fn with_join_rules(response: impl OutgoingResponse) -> Result<Value, ApiError> {
    let response = response.try_into_http_response::<Vec<u8>>();
    let response = response.map_err(|error| ApiError::internal(&error))?;
    let mut page: Value =
        serde_json::from_slice(response.body()).map_err(|error| ApiError::internal(&error))?;
    for room in page.get_mut("chunk").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(room) = room.as_object_mut() {
            room.entry("join_rule").or_insert_with(|| "public".into());
        }
    }
    Ok(page)
}

async fn page(
    app: &App,
    server: Option<&ServerName>,
    limit: Option<UInt>,
    since: Option<String>,
    filter: Filter,
    network: &RoomNetwork,
) -> Result<DirectoryPage, ApiError> {
    if let Some(server) = server.filter(|server| *server != app.data.server_name()) {
        return page_of(app, server, limit, since, filter, network).await;
    }
    own_page(app, limit, since, filter, network).await
}

/// A page of our own directory.
pub(crate) async fn own_page(
    app: &App,
    limit: Option<UInt>,
    since: Option<String>,
    filter: Filter,
    network: &RoomNetwork,
) -> Result<DirectoryPage, ApiError> {
    let network = match network {
        RoomNetwork::Matrix => Network::Matrix,
        RoomNetwork::All => Network::All,
        RoomNetwork::ThirdParty(instance) => Network::of_instance(instance),
        _ => Network::Unknown,
    };
    let limit = limit.map(|limit| usize::try_from(u64::from(limit)).unwrap_or(usize::MAX));
    Ok(app.rooms.published(&DirectoryQuery { filter, limit, since, network }).await?)
}

/// A page of another server's directory.
async fn page_of(
    app: &App,
    server: &ServerName,
    limit: Option<UInt>,
    since: Option<String>,
    filter: Filter,
    network: &RoomNetwork,
) -> Result<DirectoryPage, ApiError> {
    let mut request = get_public_rooms_filtered_of::Request::new();
    let rooms_max = UInt::from(ROOMS_MAX);
    request.limit = Some(limit.unwrap_or(rooms_max).min(rooms_max));
    request.since = since;
    request.filter = filter;
    request.room_network = network.clone();
    let answer = app.rooms.federation().call(server, request).await?;
    let total = answer.total_room_count_estimate.map_or(answer.chunk.len(), |total| {
        usize::try_from(u64::from(total)).unwrap_or(usize::MAX)
    });
    Ok(DirectoryPage {
        rooms: answer.chunk,
        next: answer.next_batch,
        previous: answer.prev_batch,
        total,
    })
}
