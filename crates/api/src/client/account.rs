//! Accounts: made, changed, closed.

mod add_3pid;
mod bind_3pid;
mod change_password;
mod check_registration_token_validity;
mod deactivate;
mod delete_3pid;
mod email_stage;
mod get_3pids;
mod get_username_availability;
mod password_policy;
mod post_3pids;
mod register;
mod request_openid_token;
mod request_tokens;
mod unbind_3pid;
mod whoami;

use axum::Router;
use http::Method;

pub(crate) use deactivate::close_account;
pub(super) use register::token_stage;

use crate::{App, Serve, asked::ServeAsked};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    let mut router = request_tokens::routes(router);
    for path in post_3pids::PATHS {
        router = router.serve_asked(Method::POST, path, post_3pids::post_3pids);
    }
    for path in password_policy::PATHS {
        router = router.serve_raw(Method::GET, path, password_policy::password_policy);
    }
    router
        .serve(add_3pid::add_3pid)
        .serve(bind_3pid::bind_3pid)
        .serve(change_password::change_password)
        .serve(check_registration_token_validity::check_registration_token_validity)
        .serve(deactivate::deactivate)
        .serve(delete_3pid::delete_3pid)
        .serve(get_3pids::get_3pids)
        .serve(get_username_availability::get_username_availability)
        .serve(register::register)
        .serve(request_openid_token::request_openid_token)
        .serve(unbind_3pid::unbind_3pid)
        .serve(whoami::whoami)
}
