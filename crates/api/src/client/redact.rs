//! Taking content away.

mod redact_event;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(redact_event::redact_event)
}
