//! `GET /_matrix/client/v3/admin/whois/{userId}`

use blaupause_accounts::LastSeen;
use ruma::{
    UserId,
    api::client::admin::get_user_info::v3::{Request, Response},
};
use serde_json::{Map, Value, json};

use crate::{ApiError, App, Call, routes::Answer};

/// Everybody may ask about themselves, administrators about everybody here.
pub(crate) async fn get_user_info(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let user = &call.body.user_id;
    if !call.who.is_admin {
        call.who.must_be(user)?;
    }
    Ok(Answer::Other(info_of(&app, user).await?))
}

/// From where a user's devices were last seen. Made here, because ruma writes what is not known
/// as `null`, which the specification does not have.
pub(crate) async fn info_of(app: &App, user: &UserId) -> Result<Value, ApiError> {
    if !app.is_local(user) {
        return Err(ApiError::invalid_param("this user does not belong to this server"));
    }
    if app.accounts.account(user).await?.is_none() {
        return Err(ApiError::not_found("unknown user"));
    }
    let devices = app.accounts.devices(user).await?.into_iter().map(|device| {
        let connections: Vec<Value> = device.last_seen.map(connection).into_iter().collect();
        let sessions = json!([{ "connections": connections }]);
        (device.device_id.to_string(), json!({ "sessions": sessions }))
    });
    let devices: Map<String, Value> = devices.collect();
    Ok(json!({ "user_id": user, "devices": devices }))
}

fn connection(seen: LastSeen) -> Value {
    let mut connection = Map::new();
    connection.insert("last_seen".into(), u64::from(seen.at.get()).into());
    connection.extend(seen.address.map(|ip| ("ip".to_owned(), ip.into())));
    connection.extend(seen.user_agent.map(|agent| ("user_agent".to_owned(), agent.into())));
    connection.into()
}
