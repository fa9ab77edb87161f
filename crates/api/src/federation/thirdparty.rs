//! Invitations by mail address or phone number, which this server does not have.

mod bind_callback;
mod exchange_invite;

use axum::Router;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(bind_callback::bind_callback).serve(exchange_invite::exchange_invite)
}
