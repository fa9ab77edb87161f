//! What a client has not seen yet.

mod sync_events_v3;
mod sync_events_v5;
mod written;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve_or(sync_events_v3::sync_events_v3).serve(sync_events_v5::sync_events_v5)
}
