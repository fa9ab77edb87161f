//! `PATCH` and `PUT /_matrix/client/unstable/uk.tcpip.msc4133/profile/{userId}` (MSC4133)

use ruma::{OwnedUserId, api::auth_scheme::AccessToken};
use serde_json::{Value, json};

use crate::{ApiError, App, asked::Asked};

/// The fields given are set, the others stay; answers all.
pub(crate) async fn change_profile(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let user = set(&app, &asked, false).await?;
    let profile = super::profile_of(&app, &user).await?;
    serde_json::to_value(profile).map_err(|error| ApiError::internal(&error))
}

/// The fields given are all that there are.
pub(crate) async fn replace_profile(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    set(&app, &asked, true).await?;
    Ok(json!({}))
}

async fn set(
    app: &App,
    asked: &Asked<AccessToken>,
    replace: bool,
) -> Result<OwnedUserId, ApiError> {
    let user: OwnedUserId = asked.param("user_id")?;
    asked.who.must_be(&user)?;
    app.accounts.set_profile_fields(&user, &asked.object()?, replace).await?;
    Ok(user)
}
