//! The directory of published rooms, as other servers ask for it.

mod get_public_rooms;
mod get_public_rooms_filtered;

use axum::Router;
use blaupause_rooms::{DirectoryPage, DirectoryQuery, Network};
use ruma::{
    UInt,
    directory::{Filter, RoomNetwork},
};

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_public_rooms::get_public_rooms)
        .serve(get_public_rooms_filtered::get_public_rooms_filtered)
}

/// A page of our own directory.
async fn page(
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

/// How many rooms there are in all, as the protocol says it.
fn total(page: &DirectoryPage) -> Option<UInt> {
    u32::try_from(page.total).ok().map(Into::into)
}
