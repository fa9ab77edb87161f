//! State of rooms.

mod send_state_event;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(send_state_event::send_state_event)
}
