//! Calls with many people (MSC4143, MatrixRTC).

mod transports;

use axum::Router;
use http::Method;

use crate::{App, Serve, asked::ServeAsked};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(transports::transports).serve_asked(
        Method::GET,
        "/_matrix/client/v1/rtc/transports",
        transports::transports_v1,
    )
}
