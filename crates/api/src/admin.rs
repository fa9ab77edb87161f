//! Paths for operators, as scripts and test suites of the field know them from Synapse.

mod register;

use axum::Router;
use http::Method;

use crate::{App, Serve};

const REGISTER: &str = "/_synapse/admin/v1/register";

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve_raw(Method::GET, REGISTER, register::nonce).serve_raw(
        Method::POST,
        REGISTER,
        register::register,
    )
}
