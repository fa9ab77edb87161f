//! `POST /oauth2/device` (RFC 8628, section 3.1)

use axum::{Json, body::Body, extract::State};
use http::Request;
use serde_json::{Value, json};

use super::{LIMIT_COST, form, refusal::Refusal};
use crate::{
    ApiError, App,
    limits::{ClientAddress, Kind},
};

pub(super) async fn device_authorization(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<Value>, Refusal> {
    let oauth = app.settings.oauth.as_ref().ok_or_else(ApiError::unrecognized)?;
    let address = request.extensions().get::<ClientAddress>().copied();
    app.limiter.take(Kind::Login, address.as_ref().into(), LIMIT_COST)?;
    let form = form::read(request).await?;
    let client = form.must("client_id", "client_id is missing")?;
    let scope = form.get("scope").unwrap_or_default();
    let grant = app.accounts.start_device_grant(client, scope).await?;
    let page = format!("{}/account/link", oauth.base_url);
    Ok(Json(json!({
        "device_code": grant.device_code.reveal(),
        "user_code": grant.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?code={}", grant.user_code),
        "expires_in": grant.expires_in.as_secs(),
        "interval": grant.interval.as_secs(),
    })))
}
