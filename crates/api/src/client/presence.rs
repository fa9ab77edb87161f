//! Who is online.

mod get_presence;
mod set_presence;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_presence::get_presence).serve(set_presence::set_presence)
}
