//! Calls with many people (MSC4143, MatrixRTC).

mod transports;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(transports::transports)
}
