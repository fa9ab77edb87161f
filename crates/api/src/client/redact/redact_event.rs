//! `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`

use blaupause_rooms::Redact;
use ruma::api::client::redact::redact_event::v3::{Request, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::{ApiError, App, Call, client::message::transaction};

/// Since room version 11 clients may say the target in the content, too.
#[derive(Deserialize)]
struct Content {
    redacts: Option<Value>,
    /// Types of relations whose events go, too (MSC3912).
    #[serde(default, alias = "with_rel_types", rename = "org.matrix.msc3912.with_relations")]
    related: Vec<String>,
}

pub(crate) async fn redact_event(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let content: Content =
        serde_json::from_slice(&call.raw).map_err(|error| ApiError::bad_json(error.to_string()))?;
    if content.redacts.as_ref().is_some_and(|redacts| redacts != call.body.event_id.as_str()) {
        return Err(ApiError::invalid_param("`redacts` is not the event of the path"));
    }
    let transaction = transaction(&call.who, &call.body.txn_id);
    let own_only = call.who.session.is_suspended;
    let redact = Redact {
        room: call.body.room_id,
        sender: call.who.user_id,
        event: call.body.event_id,
        reason: call.body.reason,
        transaction: Some(transaction),
        timestamp: None,
        own_only,
    };
    Ok(Response::new(app.rooms.redact_with_related(redact, &content.related).await?))
}
