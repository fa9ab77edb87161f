//! `GET /_matrix/client/v3/events`

use std::time::Duration;

use blaupause_sync::SyncToken;
use ruma::{OwnedRoomId, api::auth_scheme::AccessToken};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ApiError, App, asked::Asked, client::access::reader};

/// How long is waited if the client does not say (the specification leaves it open).
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Query {
    from: Option<String>,
    /// In milliseconds.
    timeout: Option<u64>,
    /// Only this room, which the caller need not be in.
    room_id: Option<OwnedRoomId>,
}

pub(crate) async fn listen_to_new_events(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let query: Query = asked.query()?;
    let reader = reader(&asked.who);
    let timeout = query.timeout.map_or(TIMEOUT_DEFAULT, Duration::from_millis);
    let events = match &query.room_id {
        Some(room) => app.sync.peek(&reader, room, query.from.as_deref(), timeout).await?,
        None => {
            let from = query.from.as_deref().map(|from| {
                SyncToken::parse(from)
                    .ok_or_else(|| ApiError::invalid_param("from is not a token of ours"))
            });
            app.sync.events(&reader, from.transpose()?, timeout).await?
        }
    };
    Ok(json!({ "start": events.start, "end": events.end, "chunk": events.chunk }))
}
