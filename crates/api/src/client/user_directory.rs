//! Finding people.

mod search_users;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(search_users::search_users)
}
