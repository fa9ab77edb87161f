//! Signing in and out.

mod get_login_token;
mod get_login_types;
mod login;
mod login_fallback;
mod logout;
mod logout_all;
mod refresh_token;
mod sso_login;

use axum::Router;
use http::Method;

pub(super) use login::must_have_legacy_login;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_login_token::get_login_token)
        .serve_or(get_login_types::get_login_types)
        .serve(login::login)
        .serve(logout::logout)
        .serve(logout_all::logout_all)
        .serve(refresh_token::refresh_token)
        .serve(sso_login::sso_login)
        .serve(sso_login::sso_login_with_provider)
        .serve_raw(Method::GET, "/_matrix/static/client/login/", login_fallback::login_fallback)
}
