//! Rooms and events as they were read before `/sync` (deprecated), and rooms that one is not in.

mod get_current_state;
mod get_event;
mod initial_sync;
mod listen_to_new_events;

use axum::Router;
use http::Method;

use crate::{App, Serve, asked::ServeAsked};

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for version in ["r0", "v3"] {
        let path = |end: &str| format!("/_matrix/client/{version}/{end}");
        router = router
            .serve_asked(Method::GET, &path("events"), listen_to_new_events::listen_to_new_events)
            .serve_asked(Method::GET, &path("events/{event_id}"), get_event::get_event)
            .serve_asked(Method::GET, &path("initialSync"), initial_sync::initial_sync);
    }
    router.serve(get_current_state::get_current_state)
}
