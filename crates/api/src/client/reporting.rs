//! Reports about people.

mod report_user;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(report_user::report_user)
}
