//! Rooms at a glance (deprecated).

mod get_current_state;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_current_state::get_current_state)
}
