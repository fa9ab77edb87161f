//! `PUT /_matrix/client/v3/rooms/{roomId}/delayed_event/{eventType}/{txnId}`

use blaupause_rooms::{RoomsError, Schedule};
use ruma::{
    OwnedRoomId, TransactionId,
    api::auth_scheme::AccessToken,
    events::{TimelineEventType, sticky::StickyDurationMs},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{ApiError, App, asked::Asked, client::message::transaction};

#[derive(Deserialize)]
struct Body {
    delay_ms: Option<u64>,
    /// As ruma calls it.
    delay: Option<u64>,
    state_key: Option<String>,
    content: Box<RawValue>,
}

#[derive(Deserialize)]
struct Query {
    #[serde(rename = "org.matrix.msc4354.sticky_duration_ms")]
    sticky_ms: Option<StickyDurationMs>,
}

pub(crate) async fn send_delayed_event(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let body: Body = asked.body()?;
    let query: Query = asked.query()?;
    let delay_ms = body.delay_ms.or(body.delay);
    let txn: &TransactionId = asked.text("txn_id").into();
    let request = Schedule {
        room: asked.param::<OwnedRoomId>("room_id")?,
        sender: asked.who.user_id.clone(),
        kind: TimelineEventType::from(asked.text("event_type")),
        state_key: body.state_key,
        content: body.content,
        delay_ms: delay_ms.ok_or_else(|| ApiError::missing_param("delay_ms is missing"))?,
        transaction: Some(transaction(&asked.who, txn)),
        sticky_ms: query.sticky_ms.map(|duration| duration.get().into()),
    };
    match app.rooms.schedule(request).await {
        Ok(id) => Ok(json!({ "delay_id": id })),
        // The final text has no code of its own for it.
        Err(error @ RoomsError::DelayTooLong { max_ms }) => {
            Err(too_long(ApiError::forbidden(error.to_string()), max_ms))
        }
        Err(error) => Err(error.into()),
    }
}

/// As asked for by the query of `/send` and `/state`: with the code that today's clients look for.
pub(in crate::client) async fn schedule(app: &App, request: Schedule) -> Result<Value, ApiError> {
    match app.rooms.schedule(request).await {
        Ok(id) => Ok(json!({ "delay_id": id })),
        Err(error @ RoomsError::DelayTooLong { max_ms }) => {
            Err(too_long(ApiError::unknown(error.to_string()), max_ms))
        }
        Err(error) => Err(error.into()),
    }
}

fn too_long(error: ApiError, max_ms: u64) -> ApiError {
    error
        .with("org.matrix.msc4140.errcode", "M_MAX_DELAY_EXCEEDED")
        .with("org.matrix.msc4140.max_delay", max_ms)
}
