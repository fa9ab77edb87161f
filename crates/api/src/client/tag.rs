//! Tags of rooms.

mod create_tag;
mod delete_tag;
mod get_tags;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(create_tag::create_tag).serve(delete_tag::delete_tag).serve(get_tags::get_tags)
}
