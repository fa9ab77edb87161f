//! Events that another server lacks.

mod get_backfill;
mod get_missing_events;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_backfill::get_backfill).serve(get_missing_events::get_missing_events)
}
