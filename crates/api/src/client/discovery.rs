//! What this server can do.

mod get_capabilities;
mod get_supported_versions;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_or(get_capabilities::get_capabilities)
        .serve(get_supported_versions::get_supported_versions)
}
