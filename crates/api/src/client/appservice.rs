//! What only application services ask.

mod request_ping;
mod set_room_visibility;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(request_ping::request_ping).serve(set_room_visibility::set_room_visibility)
}
