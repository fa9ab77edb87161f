//! Client-server API: one folder per area, one file per endpoint, named as in ruma.

mod access;
pub(crate) mod account;
mod alias;
mod backup;
mod config;
mod context;
pub(crate) mod device;
mod directory;
mod discovery;
mod filter;
mod keys;
mod knock;
mod media;
mod membership;
mod message;
mod peeking;
mod presence;
mod profile;
mod push;
mod read_marker;
mod receipt;
mod redact;
mod relations;
mod reporting;
mod room;
mod rtc;
mod search;
mod session;
mod space;
mod state;
mod sync;
mod tag;
mod threads;
mod to_device;
mod typing;
mod uiaa;
mod user_directory;

use axum::Router;

use crate::App;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for area in [
        account::routes,
        alias::routes,
        backup::routes,
        config::routes,
        context::routes,
        device::routes,
        directory::routes,
        discovery::routes,
        filter::routes,
        keys::routes,
        knock::routes,
        media::routes,
        membership::routes,
        message::routes,
        peeking::routes,
        presence::routes,
        profile::routes,
        push::routes,
        read_marker::routes,
        receipt::routes,
        redact::routes,
        relations::routes,
        reporting::routes,
        room::routes,
        rtc::routes,
        search::routes,
        session::routes,
        space::routes,
        state::routes,
        sync::routes,
        tag::routes,
        threads::routes,
        to_device::routes,
        typing::routes,
        uiaa::routes,
        user_directory::routes,
    ] {
        router = area(router);
    }
    router
}
