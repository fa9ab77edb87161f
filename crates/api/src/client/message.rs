//! Messages of rooms.

mod send_message_event;

use axum::Router;
use blaupause_rooms::Transaction;
use ruma::TransactionId;

use crate::{App, Serve, User};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router.serve(send_message_event::send_message_event)
}

/// A request that may be repeated.
pub(in crate::client) fn transaction(user: &User, id: &TransactionId) -> Transaction {
    let device = user.device_id.as_ref().map(ToString::to_string).unwrap_or_default();
    Transaction { device, id: id.to_string() }
}
