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
    api::{Metadata, client::directory::get_public_rooms::v3, path_builder::PathBuilder},
    directory::{Filter, RoomNetwork},
};

use crate::{ApiError, App, Serve};

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
    if server.is_some_and(|server| server != app.data.server_name()) {
        return Err(ApiError::not_found("this server does not talk to other servers yet"));
    }
    let network = match network {
        RoomNetwork::Matrix => Network::Matrix,
        RoomNetwork::All => Network::All,
        RoomNetwork::ThirdParty(instance) => Network::of_instance(instance),
        _ => Network::Unknown,
    };
    let limit = limit.map(|limit| usize::try_from(u64::from(limit)).unwrap_or(usize::MAX));
    Ok(app.rooms.published(&DirectoryQuery { filter, limit, since, network }).await?)
}
