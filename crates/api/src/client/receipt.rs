//! How far people have read.

mod create_receipt;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(create_receipt::create_receipt)
}
