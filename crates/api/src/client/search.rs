//! Search.

mod search_events;

use axum::Router;
use http::Method;
use ruma::api::{Metadata, client::search::search_events::v3::Request, path_builder::PathBuilder};

use crate::{App, Serve};

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for path in Request::PATH_BUILDER.all_paths() {
        router = router.serve_raw(Method::POST, path, search_events::search_events);
    }
    router
}
