//! Dehydrated devices (MSC3814).

mod delete_dehydrated_device;
mod get_dehydrated_device;
mod get_events;
mod put_dehydrated_device;

use axum::Router;
use http::Method;

use crate::{App, Serve, asked::ServeAsked};

/// matrix-js-sdk asks for messages with GET, matrix-rust-sdk with POST.
const EVENTS: &str =
    "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events";

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(delete_dehydrated_device::delete_dehydrated_device)
        .serve(get_dehydrated_device::get_dehydrated_device)
        .serve(get_events::get_events)
        .serve_asked(Method::GET, EVENTS, get_events::get_events_by_query)
        .serve(put_dehydrated_device::put_dehydrated_device)
}
