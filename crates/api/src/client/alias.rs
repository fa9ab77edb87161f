//! Names of rooms.

mod create_alias;
mod delete_alias;
mod get_alias;

use axum::Router;
use blaupause_rooms::{ResolvedAlias, RoomsError};
use ruma::RoomAliasId;

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(create_alias::create_alias)
        .serve(delete_alias::delete_alias)
        .serve(get_alias::get_alias)
}

/// Where an alias leads. If nowhere yet, the application services that own it are asked to make the
/// room (spec: application service API, "Querying").
pub(in crate::client) async fn resolve(
    app: &App,
    alias: &RoomAliasId,
) -> Result<ResolvedAlias, ApiError> {
    match app.rooms.resolve_alias(alias).await {
        Err(RoomsError::NotFound(_)) if app.services.ask_for_alias(alias).await => {}
        found => return Ok(found?),
    }
    Ok(app.rooms.resolve_alias(alias).await?)
}
