//! `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`

use blaupause_rooms::{Redact, Schedule, SendEvent};
use ruma::{
    api::client::message::send_message_event::v3::{Request, Response},
    events::TimelineEventType,
};

use super::transaction;
use crate::{
    ApiError, App, Call,
    client::delayed_events::{delay_in, schedule},
    routes::Answer,
};

pub(crate) async fn send_message_event(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let transaction = transaction(&call.who, &call.body.txn_id);
    // Others say nothing about the time (spec: application service API, "Timestamp massaging").
    let is_service = call.who.service.is_some();
    let own_only = call.who.session.is_suspended;
    let sticky_ms = call.body.sticky_duration_ms.map(|duration| duration.get().into());
    let delay_ms = delay_in(call.query.as_deref())?;
    let event = SendEvent {
        room: call.body.room_id,
        sender: call.who.user_id,
        kind: TimelineEventType::from(call.body.event_type.to_string()),
        content: call.body.body.into_json(),
        transaction: Some(transaction),
        timestamp: call.body.timestamp.filter(|_| is_service),
        sticky_ms,
    };
    if let Some(delay_ms) = delay_ms {
        // Which events are their own can be known only when the time has come.
        if own_only {
            return Err(ApiError::suspended());
        }
        let SendEvent { room, sender, kind, content, transaction, .. } = event;
        let state_key = None;
        let request =
            Schedule { room, sender, kind, state_key, content, delay_ms, transaction, sticky_ms };
        return schedule(&app, request).await.map(Answer::Other);
    }
    if event.kind == TimelineEventType::RoomRedaction {
        let redact = Redact { own_only, ..Redact::try_from(event)? };
        return Ok(Answer::Usual(Response::new(app.rooms.redact(redact).await?)));
    }
    Ok(Answer::Usual(Response::new(app.rooms.send(event).await?)))
}
