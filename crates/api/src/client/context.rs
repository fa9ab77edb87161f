//! What was said around an event.

mod get_context;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_context::get_context)
}
