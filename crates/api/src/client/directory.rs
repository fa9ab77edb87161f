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
        Metadata, client::directory::get_public_rooms::v3,
        federation::directory::get_public_rooms_filtered::v1 as get_public_rooms_filtered_of,
        path_builder::PathBuilder,
    },
    directory::{Filter, RoomNetwork},
};

use crate::{ApiError, App, Serve};

/// Rooms that another server is asked for at once.
const ROOMS_MAX: u32 = 500;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for path in v3::Request::PATH_BUILDER.all_paths() {
        router = router.serve_raw(Method::GET, path, get_public_rooms::get_public_rooms);
    }
    router
        .serve(get_public_rooms_filtered::get_public_rooms_filtered)
        .serve(get_room_visibility::get_room_visibility)
        .serve(set_room_visibility::set_room_visibility)
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
