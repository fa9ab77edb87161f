//! Messages from device to device.

mod send_event_to_device;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(send_event_to_device::send_event_to_device)
}
