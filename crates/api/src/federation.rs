//! Server-server API. Who asks is a server that signed, except where the specification says
//! otherwise.

mod authorization;
mod backfill;
mod device;
mod directory;
mod discovery;
mod event;
mod keys;
mod media;
mod membership;
mod openid;
mod query;
mod space;
mod thirdparty;
mod transactions;

use axum::Router;
use http::Method;

use crate::{App, Serve};

/// Paths of the server-server API that are asked by others than servers.
pub(crate) fn open_routes(router: Router<App>) -> Router<App> {
    let path = "/_matrix/federation/v1/openid/userinfo";
    router.serve_raw(Method::GET, path, openid::get_openid_userinfo)
}

/// What is there for other servers.
pub(crate) fn routes(router: Router<App>) -> Router<App> {
    let areas = [
        authorization::routes,
        backfill::routes,
        device::routes,
        directory::routes,
        discovery::routes,
        event::routes,
        keys::routes,
        media::routes,
        membership::routes,
        query::routes,
        space::routes,
        transactions::routes,
        thirdparty::routes,
    ];
    areas.into_iter().fold(router, |router, add| add(router))
}
