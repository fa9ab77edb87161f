//! What administrators of the server ask about people, and do to their accounts (spec:
//! client-server API, "Server Administration").

mod get_user_info;
mod moderation;

use axum::Router;

pub(crate) use get_user_info::info_of;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_or(get_user_info::get_user_info)
        .serve(moderation::is_user_locked)
        .serve(moderation::is_user_suspended)
        .serve(moderation::lock_user)
        .serve(moderation::suspend_user)
}
