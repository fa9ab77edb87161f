//! Messages of rooms.

mod get_message_events;
mod send_message_event;

use axum::Router;
use blaupause_rooms::Transaction;
use http::Method;
use ruma::{
    TransactionId,
    api::{Metadata, client::message::get_message_events::v3::Request, path_builder::PathBuilder},
};

use crate::{App, Serve, User};

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for path in Request::PATH_BUILDER.all_paths() {
        router = router.serve_raw(Method::GET, path, get_message_events::get_message_events);
    }
    router.serve_or(send_message_event::send_message_event)
}

/// A request that may be repeated.
pub(in crate::client) fn transaction(user: &User, id: &TransactionId) -> Transaction {
    let device = user.device_id.as_ref().map(ToString::to_string).unwrap_or_default();
    Transaction { device, id: id.to_string() }
}
