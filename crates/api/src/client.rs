//! Client-server API: one folder per area, one file per endpoint, named as in ruma.

mod backup;
mod discovery;
mod keys;
mod media;
mod push;
mod sync;
mod to_device;

use axum::Router;

use crate::App;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for area in [
        backup::routes,
        discovery::routes,
        keys::routes,
        media::routes,
        push::routes,
        sync::routes,
        to_device::routes,
    ] {
        router = area(router);
    }
    router
}
