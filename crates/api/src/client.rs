//! Client-server API: one folder per area, one file per endpoint, named as in ruma.

mod account;
mod alias;
mod backup;
mod config;
mod device;
mod directory;
mod discovery;
mod filter;
mod keys;
mod knock;
mod media;
mod membership;
mod message;
mod presence;
mod profile;
mod push;
mod redact;
mod reporting;
mod room;
mod session;
mod state;
mod sync;
mod tag;
mod to_device;
mod user_directory;

use axum::Router;

use crate::App;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for area in [
        account::routes,
        alias::routes,
        backup::routes,
        config::routes,
        device::routes,
        directory::routes,
        discovery::routes,
        filter::routes,
        keys::routes,
        knock::routes,
        media::routes,
        membership::routes,
        message::routes,
        presence::routes,
        profile::routes,
        push::routes,
        redact::routes,
        reporting::routes,
        room::routes,
        session::routes,
        state::routes,
        sync::routes,
        tag::routes,
        to_device::routes,
        user_directory::routes,
    ] {
        router = area(router);
    }
    router
}
