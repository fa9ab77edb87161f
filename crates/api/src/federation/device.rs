//! Devices of our people, for other servers.

mod get_devices;

use axum::Router;

use crate::{App, Serve};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    router.serve(get_devices::get_devices)
}
