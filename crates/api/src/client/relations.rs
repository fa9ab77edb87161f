//! Events that relate to an event.

mod get_relating_events;
mod get_relating_events_with_rel_type;
mod get_relating_events_with_rel_type_and_event_type;

use axum::Router;
use blaupause_rooms::{Relations, RelationsQuery};
use ruma::{EventId, RoomId};

use super::access::access;
use crate::{ApiError, App, Serve, User};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_relating_events::get_relating_events)
        .serve(get_relating_events_with_rel_type::get_relating_events_with_rel_type)
        .serve(
            get_relating_events_with_rel_type_and_event_type::get_relating_events_with_rel_type_and_event_type,
        )
}

async fn relations(
    app: &App,
    user: &User,
    room: &RoomId,
    event: &EventId,
    query: &RelationsQuery,
) -> Result<Relations, ApiError> {
    let event = access(app, user, room).await?.event(event).await?;
    Ok(event.relations(query).await?)
}
