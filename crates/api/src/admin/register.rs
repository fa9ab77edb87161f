//! `/_synapse/admin/v1/register`: accounts made by whoever holds the shared secret.

use axum::{Json, body::Body, extract::State};
use blaupause_accounts::{NewAccount, Secret, SignIn};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ApiError, App, body, call::BODY_BYTES_MAX, json};

#[derive(Deserialize)]
pub(crate) struct Request {
    nonce: String,
    username: String,
    password: String,
    #[serde(default)]
    admin: bool,
    mac: String,
    user_type: Option<String>,
    displayname: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
}

/// `GET`: a nonce for one registration.
pub(crate) async fn nonce(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "nonce": app.accounts.registration_nonce()? })))
}

/// `POST`: an account.
pub(crate) async fn register(
    State(app): State<App>,
    request: http::Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let body = body::whole(&parts.headers, body, BODY_BYTES_MAX).await?;
    json::check_object(&body)?;
    let request: Request =
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_json(error.to_string()))?;
    let new = NewAccount {
        localpart: request.username,
        password: Some(Secret::new(request.password)),
        admin: request.admin,
    };
    let sign_in = (!request.inhibit_login).then(SignIn::default);
    let user_type = request.user_type.as_deref();
    let made = app
        .accounts
        .register_with_shared_secret(&request.nonce, new, user_type, &request.mac, sign_in)
        .await?;
    if let Some(name) = request.displayname {
        let field = ruma::profile::ProfileFieldName::DisplayName;
        app.accounts.set_profile_field(&made.user_id, &field, &name.into()).await?;
    }
    let mut answer = json!({ "user_id": made.user_id, "home_server": app.data.server_name() });
    if let Some(issued) = made.issued {
        answer["access_token"] = issued.access_token.reveal().into();
        answer["device_id"] = issued.device_id.to_string().into();
    }
    Ok(Json(answer))
}
