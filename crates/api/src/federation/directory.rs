//! The directory of published rooms, as other servers ask for it.

mod get_public_rooms;
mod get_public_rooms_filtered;

use axum::Router;
use blaupause_rooms::DirectoryPage;
use ruma::UInt;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_public_rooms::get_public_rooms)
        .serve(get_public_rooms_filtered::get_public_rooms_filtered)
}

/// How many rooms there are in all, as the protocol says it.
fn total(page: &DirectoryPage) -> Option<UInt> {
    u32::try_from(page.total).ok().map(Into::into)
}
