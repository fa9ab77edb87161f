//! Server-server API: so far only what is asked without a signature.

mod openid;

use axum::{Router, routing::any};
use http::Method;

use crate::{ApiError, App, Serve};

/// Paths of the server-server API that are asked by others than servers.
pub(crate) fn open_routes(router: Router<App>) -> Router<App> {
    let path = "/_matrix/federation/v1/openid/userinfo";
    router.serve_raw(Method::GET, path, openid::get_openid_userinfo)
}

/// No server's signature is accepted yet, so whoever asks for more is refused for that.
pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.route("/_matrix/federation/{*rest}", any(unsigned))
}

async fn unsigned() -> ApiError {
    ApiError::unauthorized("this server does not federate")
}
