//! The endpoints of the OAuth 2.0 server that programs ask (spec: client-server API, "OAuth 2.0
//! API"). What people see is in `pages`; who may have what is decided in `accounts`.

mod authorize;
mod device_authorization;
mod form;
mod metadata;
mod refusal;
mod register_client;
mod rendezvous;
mod revoke;
mod token;

use axum::Router;
use http::Method;

use crate::{App, Serve, pages};

pub(crate) use form::{Parameters, is_form};
pub(crate) use metadata::{account_url, well_known};
pub(crate) use rendezvous::Places;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What one request that opens something takes of the limit for signing in: a login is three
/// requests, and only the password is worth guessing.
const LIMIT_COST: f64 = 0.25;

/// Where the OAuth server is seen from outside.
#[derive(Clone, Debug)]
pub struct OAuth {
    /// `https://matrix.example.org`, without a slash at the end.
    pub base_url: String,
}

/// How clients learn whether there is OAuth: always there, to say no as well.
pub(crate) fn open_routes(router: Router<App>) -> Router<App> {
    router.serve(metadata::auth_metadata)
}

/// Routes that are there with OAuth only.
pub(crate) fn routes(router: Router<App>) -> Router<App> {
    let router = router
        .serve_raw(Method::POST, "/oauth2/register", register_client::register_client)
        .serve_raw(Method::POST, "/oauth2/token", token::token)
        .serve_raw(Method::POST, "/oauth2/revoke", revoke::revoke)
        .serve_raw(Method::POST, "/oauth2/device", device_authorization::device_authorization);
    let router = pages::serve(router, Method::GET, "/oauth2/authorize", authorize::ask);
    let router = pages::serve(router, Method::POST, "/oauth2/authorize", authorize::decide);
    rendezvous::routes(router)
}
