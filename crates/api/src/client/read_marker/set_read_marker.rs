//! `POST /_matrix/client/v3/rooms/{roomId}/read_markers`

use blaupause_rooms::{NewReceipt, ReceiptKind};
use ruma::{
    api::client::read_marker::set_read_marker::v3::{Request, Response},
    events::receipt::ReceiptThread,
};

use crate::{ApiError, App, Call, client::access::access};

pub(crate) async fn set_read_marker(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, fully_read, read_receipt, private_read_receipt, .. } = call.body;
    let receipts: Vec<_> =
        [(ReceiptKind::Read, read_receipt), (ReceiptKind::Private, private_read_receipt)]
            .into_iter()
            .filter_map(|(kind, event)| {
                Some(NewReceipt { kind, event: event?, thread: ReceiptThread::Unthreaded })
            })
            .collect();
    // Who marks nothing learns nothing, so they may do it anywhere.
    if receipts.is_empty() && fully_read.is_none() {
        return Ok(Response::new());
    }
    let access = access(&app, &call.who, &room_id).await?;
    if let Some(event) = fully_read {
        access.set_fully_read(&event).await?;
    }
    if !receipts.is_empty() {
        access.set_receipts(&receipts).await?;
    }
    Ok(Response::new())
}
