//! Rooms as a whole.

mod aliases;
mod create_room;
mod report_content;
mod report_room;
mod upgrade_room;

use axum::Router;

use crate::{App, Serve};

pub(in crate::client) use create_room::is_published;

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(aliases::aliases)
        .serve(create_room::create_room)
        .serve(report_content::report_content)
        .serve(report_room::report_room)
        .serve(upgrade_room::upgrade_room)
}
