//! Who is typing.

mod create_typing_event;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(create_typing_event::create_typing_event)
}
