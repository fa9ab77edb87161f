//! `POST /oauth2/register` (RFC 7591)

use axum::{Json, body::Body, extract::State};
use blaupause_accounts::OAuthError;
use http::{Request, StatusCode};
use serde_json::{Map, Value};

use super::{BODY_BYTES_MAX, LIMIT_COST, refusal::Refusal};
use crate::{
    App, body, json,
    limits::{ClientAddress, Kind},
};

pub(super) async fn register_client(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let address = request.extensions().get::<ClientAddress>().copied();
    app.limiter.take(Kind::Login, address.as_ref().into(), LIMIT_COST)?;
    let (parts, body) = request.into_parts();
    let body = body::whole(&parts.headers, body, BODY_BYTES_MAX).await?;
    let not_object = OAuthError::InvalidClientMetadata("the body must be a JSON object");
    if json::check_object(&body).is_err() {
        return Err(not_object.into());
    }
    let metadata: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| not_object)?;
    let client = app.accounts.register_oauth_client(&metadata).await?;
    let mut answer = client.metadata.to_json();
    answer.insert("client_id".to_owned(), client.id.into());
    Ok((StatusCode::CREATED, Json(Value::Object(answer))))
}
