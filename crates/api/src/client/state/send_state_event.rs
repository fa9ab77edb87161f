//! `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`

use blaupause_rooms::{Schedule, SendState};
use ruma::{
    api::client::state::send_state_event::v3::{Request, Response},
    events::TimelineEventType,
};

use crate::{
    ApiError, App, Call,
    client::delayed_events::{delay_in, schedule},
    routes::Answer,
};

pub(crate) async fn send_state_event(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let delay_ms = delay_in(call.query.as_deref())?;
    // As for messages.
    let timestamp = call.body.timestamp.filter(|_| call.who.service.is_some());
    let sticky_ms = call.body.sticky_duration_ms.map(|duration| duration.get().into());
    let Request { room_id: room, event_type: kind, state_key, body, .. } = call.body;
    let (sender, content) = (call.who.user_id, body.into_json());
    if let Some(delay_ms) = delay_ms {
        let request = Schedule {
            room,
            sender,
            kind: TimelineEventType::from(kind.to_string()),
            state_key: Some(state_key),
            content,
            delay_ms,
            // Like the event itself: this endpoint has no transactions.
            transaction: None,
            sticky_ms,
        };
        return schedule(&app, request).await.map(Answer::Other);
    }
    let state = SendState { room, sender, kind, state_key, content, timestamp, sticky_ms };
    Ok(Answer::Usual(Response::new(app.rooms.send_state(state).await?)))
}
