//! What events rest on.

mod get_event_authorization;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_event_authorization::get_event_authorization)
}
