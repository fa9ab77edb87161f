//! Keys of our people, for other servers.

mod claim_keys;
mod get_keys;

use axum::Router;

use crate::{App, Serve};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    router.serve(claim_keys::claim_keys).serve(get_keys::get_keys)
}
