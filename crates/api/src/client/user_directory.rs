//! Finding people.

mod account_status;
mod search_users;

use axum::Router;
use http::Method;

use crate::{App, Serve, asked::ServeAsked};

const ACCOUNT_STATUS: &str = "/_matrix/client/unstable/org.matrix.msc3720/account_status";

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(search_users::search_users).serve_asked(
        Method::POST,
        ACCOUNT_STATUS,
        account_status::account_status,
    )
}
