//! `DELETE …/org.matrix.msc3391/user/{userId}/account_data/{type}` and the same of a room (MSC3391)

use ruma::{OwnedRoomId, OwnedUserId, api::auth_scheme::AccessToken};
use serde_json::{Value, json};

use crate::{ApiError, App, asked::Asked};

/// What is not there is deleted already.
pub(crate) async fn delete_global_account_data(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let user: OwnedUserId = asked.param("user_id")?;
    asked.who.must_be(&user)?;
    app.accounts.delete_account_data(&user, None, asked.text("event_type")).await?;
    Ok(json!({}))
}

pub(crate) async fn delete_room_account_data(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let user: OwnedUserId = asked.param("user_id")?;
    asked.who.must_be(&user)?;
    let room: OwnedRoomId = asked.param("room_id")?;
    app.accounts.delete_account_data(&user, Some(&room), asked.text("event_type")).await?;
    Ok(json!({}))
}
