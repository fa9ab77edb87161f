//! `POST /oauth2/revoke` (RFC 7009)

use axum::{Json, body::Body, extract::State};
use http::Request;
use serde_json::{Value, json};

use super::{form, refusal::Refusal};
use crate::{App, client::device::remove_devices};

/// Whoever holds a token may end its session, whichever client it belongs to: so says the
/// specification, for those who find leaked ones. What nobody has is as good as revoked.
pub(super) async fn revoke(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<Value>, Refusal> {
    let form = form::read(request).await?;
    let token = form.must("token", "token is missing")?;
    if let Some(owner) = app.accounts.token_owner(token).await? {
        let device = std::slice::from_ref(&owner.device_id);
        remove_devices(&app, &owner.user_id, device).await?;
    }
    Ok(Json(json!({})))
}
