//! What other servers bring.

mod edus;
mod send_transaction_message;

use axum::Router;

use crate::{App, Serve};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    router.serve(send_transaction_message::send_transaction_message)
}
