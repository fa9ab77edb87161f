//! Single events, state at an event, the event of a moment.

mod get_event;
mod get_event_by_timestamp;
mod get_room_state;
mod get_room_state_ids;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_event::get_event)
        .serve(get_event_by_timestamp::get_event_by_timestamp)
        .serve(get_room_state::get_room_state)
        .serve(get_room_state_ids::get_room_state_ids)
}
