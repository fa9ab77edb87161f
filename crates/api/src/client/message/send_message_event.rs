//! `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`

use blaupause_rooms::{Redact, SendEvent};
use ruma::{
    api::client::message::send_message_event::v3::{Request, Response},
    events::TimelineEventType,
};

use super::transaction;
use crate::{ApiError, App, Call};

pub(crate) async fn send_message_event(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let transaction = transaction(&call.who, &call.body.txn_id);
    let own_only = call.who.session.is_suspended;
    let event = SendEvent {
        room: call.body.room_id,
        sender: call.who.user_id,
        kind: TimelineEventType::from(call.body.event_type.to_string()),
        content: call.body.body.into_json(),
        transaction: Some(transaction),
        timestamp: None,
    };
    if event.kind == TimelineEventType::RoomRedaction {
        let redact = Redact { own_only, ..Redact::try_from(event)? };
        return Ok(Response::new(app.rooms.redact(redact).await?));
    }
    Ok(Response::new(app.rooms.send(event).await?))
}
