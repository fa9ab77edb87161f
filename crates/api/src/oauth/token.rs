//! `POST /oauth2/token` (RFC 6749, section 3.2)

use axum::{Json, body::Body, extract::State};
use blaupause_accounts::{OAuthError, OAuthIssued, Secret};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{
    form::{self, Parameters},
    refusal::Refusal,
};
use crate::{App, client::device::remove_devices};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) async fn token(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<Value>, Refusal> {
    let form = form::read(request).await?;
    let grant = form.must("grant_type", "grant_type is missing")?;
    let done = match grant {
        "authorization_code" => redeem(&app, &form).await,
        "refresh_token" => refresh(&app, &form).await,
        DEVICE_CODE => poll(&app, &form).await,
        _ => {
            let why = "grant_type must be authorization_code, refresh_token or the device code";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", why));
        }
    };
    match done {
        Ok(issued) => Ok(Json(answer(&issued))),
        Err(OAuthError::Compromised { user_id, device_id }) => {
            tracing::warn!("a used code or refresh token was shown: its session is ended");
            remove_devices(&app, &user_id, std::slice::from_ref(&device_id)).await?;
            Err(OAuthError::Compromised { user_id, device_id }.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn redeem(app: &App, form: &Parameters) -> Result<OAuthIssued, OAuthError> {
    let code = form.must("code", "code is missing")?;
    let client = form.must("client_id", "client_id is missing")?;
    let redirect_uri = form.must("redirect_uri", "redirect_uri is missing")?;
    let verifier = form.must("code_verifier", "code_verifier is missing")?;
    app.accounts.redeem_code(code, client, redirect_uri, verifier).await
}

async fn refresh(app: &App, form: &Parameters) -> Result<OAuthIssued, OAuthError> {
    let token = form.must("refresh_token", "refresh_token is missing")?;
    let client = form.must("client_id", "client_id is missing")?;
    app.accounts.refresh_oauth(token, client).await
}

async fn poll(app: &App, form: &Parameters) -> Result<OAuthIssued, OAuthError> {
    let code = form.must("device_code", "device_code is missing")?;
    let client = form.must("client_id", "client_id is missing")?;
    app.accounts.poll_device_grant(client, code).await
}

fn answer(done: &OAuthIssued) -> Value {
    let issued = &done.issued;
    let mut answer = json!({
        "access_token": issued.access_token.reveal(),
        "token_type": "Bearer",
        "scope": done.scope,
    });
    if let Some(refresh) = issued.refresh_token.as_ref().map(Secret::reveal) {
        answer["refresh_token"] = refresh.into();
    }
    if let Some(expires_in) = issued.expires_in {
        answer["expires_in"] = expires_in.as_secs().into();
    }
    answer
}
