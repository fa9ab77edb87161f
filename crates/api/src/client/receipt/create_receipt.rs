//! `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`

use blaupause_rooms::{NewReceipt, ReceiptKind};
use ruma::{
    api::client::receipt::create_receipt::v3::{ReceiptType, Request, Response},
    events::receipt::ReceiptThread,
};

use crate::{ApiError, App, Call, client::access::access};

pub(crate) async fn create_receipt(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_id, receipt_type, event_id, thread, .. } = call.body;
    let kind = match receipt_type {
        ReceiptType::Read => Some(ReceiptKind::Read),
        ReceiptType::ReadPrivate => Some(ReceiptKind::Private),
        ReceiptType::FullyRead if thread == ReceiptThread::Unthreaded => None,
        ReceiptType::FullyRead => {
            return Err(ApiError::invalid_param("m.fully_read takes no thread_id"));
        }
        _ => return Err(ApiError::invalid_param("unknown type of receipt")),
    };
    let access = access(&app, &call.who, &room_id).await?;
    match kind {
        Some(kind) => access.set_receipts(&[NewReceipt { kind, event: event_id, thread }]).await?,
        None => access.set_fully_read(&event_id).await?,
    }
    Ok(Response::new())
}
