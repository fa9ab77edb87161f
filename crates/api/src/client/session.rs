//! Signing in and out.

mod get_login_token;
mod get_login_types;
mod login;
mod logout;
mod logout_all;
mod refresh_token;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_login_token::get_login_token)
        .serve(get_login_types::get_login_types)
        .serve(login::login)
        .serve(logout::logout)
        .serve(logout_all::logout_all)
        .serve(refresh_token::refresh_token)
}
