//! Asking to be let in.

mod knock_room;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(knock_room::knock_room)
}
