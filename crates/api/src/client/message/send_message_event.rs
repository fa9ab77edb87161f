//! `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`

use blaupause_rooms::SendEvent;
use ruma::{
    api::client::message::send_message_event::v3::{Request, Response},
    events::TimelineEventType,
};

use super::transaction;
use crate::{ApiError, App, Call, client::membership::must_be_active};

pub(crate) async fn send_message_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    must_be_active(&call.who)?;
    let transaction = transaction(&call.who, &call.body.txn_id);
    let event = SendEvent {
        room: call.body.room_id,
        sender: call.who.user_id,
        kind: TimelineEventType::from(call.body.event_type.to_string()),
        content: call.body.body.into_json(),
        transaction: Some(transaction),
        timestamp: None,
    };
    Ok(Response::new(app.rooms.send(event).await?))
}
