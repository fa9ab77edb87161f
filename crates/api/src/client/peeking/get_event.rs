//! `GET /_matrix/client/v3/events/{eventId}`

use ruma::{OwnedEventId, api::auth_scheme::AccessToken};
use serde_json::Value;

use crate::{ApiError, App, asked::Asked, client::access::reader};

pub(crate) async fn get_event(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let id: OwnedEventId = asked.param("event_id")?;
    let event = app.rooms.event(&reader(&asked.who), &id).await?.json().await?;
    serde_json::from_str(event.get()).map_err(|error| ApiError::internal(&error))
}
