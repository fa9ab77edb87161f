//! Calls between two people (spec: client-server API, "Voice over IP").

mod get_turn_server_info;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve_or(get_turn_server_info::get_turn_server_info)
}
