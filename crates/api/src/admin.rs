//! Paths for operators, as scripts and test suites of the field know them from Synapse.

mod people;
mod register;
mod send_server_notice;

use axum::Router;
use http::Method;

use crate::{App, Serve, asked::ServeAsked};

const REGISTER: &str = "/_synapse/admin/v1/register";
const IS_ADMIN: &str = "/_synapse/admin/v1/users/{user_id}/admin";
const WHOIS: &str = "/_synapse/admin/v1/whois/{user_id}";
const DEACTIVATE: &str = "/_synapse/admin/v1/deactivate/{user_id}";
const NOTICE: &str = "/_synapse/admin/v1/send_server_notice";
const NOTICE_ONCE: &str = "/_synapse/admin/v1/send_server_notice/{txn_id}";

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_raw(Method::GET, REGISTER, register::nonce)
        .serve_raw(Method::POST, REGISTER, register::register)
        .serve_asked(Method::GET, IS_ADMIN, people::is_admin)
        .serve_asked(Method::GET, WHOIS, people::whois)
        .serve_asked(Method::POST, DEACTIVATE, people::deactivate)
        .serve_asked(Method::POST, NOTICE, send_server_notice::post)
        .serve_asked(Method::PUT, NOTICE_ONCE, send_server_notice::put)
}
