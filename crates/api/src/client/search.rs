//! Search.

mod search_events;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve_or(search_events::search_events)
}
