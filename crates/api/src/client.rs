//! Client-server API: one folder per area, one file per endpoint, named as in ruma.

mod access;
pub(crate) mod account;
pub(crate) mod admin;
mod alias;
mod appservice;
mod backup;
mod config;
mod context;
mod dehydrated_device;
mod delayed_events;
pub(crate) mod device;
pub(crate) mod directory;
mod discovery;
mod filter;
pub(crate) mod keys;
mod knock;
pub(crate) mod media;
mod membership;
mod message;
mod peeking;
mod presence;
pub(crate) mod profile;
mod push;
mod read_marker;
mod receipt;
mod redact;
mod relations;
mod reporting;
mod retention;
mod room;
mod rtc;
mod search;
mod session;
mod space;
mod state;
mod sync;
mod tag;
mod thirdparty;
mod threads;
mod to_device;
mod typing;
pub(crate) mod uiaa;
mod user_directory;
mod voip;

use axum::Router;

use crate::App;

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for area in [
        account::routes,
        admin::routes,
        alias::routes,
        appservice::routes,
        backup::routes,
        config::routes,
        context::routes,
        dehydrated_device::routes,
        delayed_events::routes,
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
        retention::routes,
        room::routes,
        rtc::routes,
        search::routes,
        session::routes,
        space::routes,
        state::routes,
        sync::routes,
        tag::routes,
        thirdparty::routes,
        threads::routes,
        to_device::routes,
        typing::routes,
        uiaa::routes,
        user_directory::routes,
        voip::routes,
    ] {
        router = area(router);
    }
    router
}
