//! State of rooms.

mod get_state_event_for_key;
mod get_state_events;
mod send_state_event;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_state_event_for_key::get_state_event_for_key)
        .serve(get_state_events::get_state_events)
        .serve_or(send_state_event::send_state_event)
}
