//! Names of rooms.

mod create_alias;
mod delete_alias;
mod get_alias;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(create_alias::create_alias)
        .serve(delete_alias::delete_alias)
        .serve(get_alias::get_alias)
}
