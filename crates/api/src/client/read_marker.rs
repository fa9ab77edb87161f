//! Several markers at once.

mod set_read_marker;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(set_read_marker::set_read_marker)
}
