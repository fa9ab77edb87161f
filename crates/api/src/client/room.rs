//! Rooms as a whole.

mod aliases;
mod create_room;
mod get_event_by_timestamp;
mod get_room_event;
mod get_summary;
mod report_content;
mod report_room;
mod upgrade_room;

use axum::Router;
use http::Method;

use crate::{App, Serve};

pub(in crate::client) use create_room::is_published;

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_summary::get_summary)
        .serve(get_event_by_timestamp::get_event_by_timestamp)
        .serve(get_room_event::get_room_event)
        .serve(aliases::aliases)
        .serve(create_room::create_room)
        .serve_raw(Method::GET, get_summary::OLD_PATH, get_summary::get_summary_old)
        .serve(report_content::report_content)
        .serve(report_room::report_room)
        .serve(upgrade_room::upgrade_room)
}
