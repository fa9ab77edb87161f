//! Threads of a room, and which of them somebody wants to hear of.

mod get_thread_subscription;
mod get_thread_subscriptions_changes;
mod get_threads;
mod subscribe_thread;
mod unsubscribe_thread;

use axum::Router;
use blaupause_notify::NotifyError;
use blaupause_rooms::RoomsError;

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_thread_subscription::get_thread_subscription)
        .serve(get_thread_subscriptions_changes::get_thread_subscriptions_changes)
        .serve(get_threads::get_threads)
        .serve(subscribe_thread::subscribe_thread)
        .serve(unsubscribe_thread::unsubscribe_thread)
}

/// Without the operator's wish, these endpoints do not exist.
fn must_be_on(app: &App) -> Result<(), ApiError> {
    if app.notify.settings().thread_subscriptions { Ok(()) } else { Err(ApiError::unrecognized()) }
}

/// A thread in a room that one may not read is one that does not exist (MSC4306).
fn refused(error: NotifyError) -> ApiError {
    match error {
        NotifyError::Rooms(RoomsError::NotJoined) => ApiError::not_found("there is no such thread"),
        other => other.into(),
    }
}
