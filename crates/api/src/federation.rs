//! Server-server API: so far only what is asked without a signature.

mod openid;

use axum::Router;
use http::Method;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    let path = "/_matrix/federation/v1/openid/userinfo";
    router.serve_raw(Method::GET, path, openid::get_openid_userinfo)
}
