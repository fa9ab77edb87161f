//! Spaces, as other servers ask for them.

mod get_hierarchy;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_hierarchy::get_hierarchy)
}
