//! Stored filters.

mod create_filter;
mod get_filter;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(create_filter::create_filter).serve(get_filter::get_filter)
}
