//! What Element's clients and scripts ask about single accounts, at Synapse's paths.

use ruma::{OwnedUserId, api::auth_scheme::AccessToken};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    ApiError, App,
    asked::Asked,
    client::{account::close_account, admin::info_of},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Deactivate {
    erase: bool,
}

/// `GET /_synapse/admin/v1/users/{userId}/admin`: whether the user is an administrator.
pub(super) async fn is_admin(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let user = target(&app, &asked)?;
    let account = app.accounts.account(&user).await?;
    let account = account.ok_or_else(|| ApiError::not_found("unknown user"))?;
    Ok(json!({ "admin": account.admin }))
}

/// `GET /_synapse/admin/v1/whois/{userId}`
pub(super) async fn whois(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    info_of(&app, &target(&app, &asked)?).await
}

/// `POST /_synapse/admin/v1/deactivate/{userId}`
pub(super) async fn deactivate(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let user = target(&app, &asked)?;
    let Deactivate { erase } = asked.body()?;
    close_account(&app, &user, erase).await?;
    Ok(json!({ "id_server_unbind_result": "success" }))
}

/// The user in the path, who must be of this server, for an administrator.
fn target(app: &App, asked: &Asked<AccessToken>) -> Result<OwnedUserId, ApiError> {
    asked.who.must_be_admin()?;
    let user: OwnedUserId = asked.param("user_id")?;
    if app.is_local(&user) {
        Ok(user)
    } else {
        Err(ApiError::invalid_param("this user does not belong to this server"))
    }
}
