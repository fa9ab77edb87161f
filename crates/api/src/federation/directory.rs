//! The directory of published rooms, as other servers ask for it.

mod get_public_rooms;
mod get_public_rooms_filtered;

use axum::Router;
use blaupause_rooms::DirectoryPage;
use ruma::UInt;

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_public_rooms::get_public_rooms)
        .serve(get_public_rooms_filtered::get_public_rooms_filtered)
}

/// What a server publishes is for its own users, unless the operator wants it otherwise.
fn must_be_open(app: &App) -> Result<(), ApiError> {
    if app.rooms.settings().directory_over_federation {
        Ok(())
    } else {
        Err(ApiError::forbidden("the directory of this server is for its own users"))
    }
}

/// How many rooms there are in all, as the protocol says it.
fn total(page: &DirectoryPage) -> Option<UInt> {
    u32::try_from(page.total).ok().map(Into::into)
}
