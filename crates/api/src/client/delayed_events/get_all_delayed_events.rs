//! `GET /_matrix/client/v1/delayed_events`

use ruma::api::auth_scheme::AccessToken;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shown;
use crate::{ApiError, App, asked::Asked};

/// Which to list: in earlier texts of the proposal, and in matrix-js-sdk.
#[derive(Deserialize)]
struct Query {
    status: Option<String>,
}

pub(crate) async fn get_all_delayed_events(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let query: Query = asked.query()?;
    let ended = match query.status.as_deref() {
        None | Some("scheduled") => false,
        Some("finalised") => true,
        Some(_) => return Err(ApiError::invalid_param("status is scheduled or finalised")),
    };
    let events = app.rooms.delayed_events(&asked.who.user_id, ended).await?;
    let events = events.into_iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "delayed_events": events }))
}
