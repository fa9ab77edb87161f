//! Threads of a room.

mod get_threads;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_threads::get_threads)
}
