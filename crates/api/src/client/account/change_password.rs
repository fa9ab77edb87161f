//! `POST /_matrix/client/v3/account/password`

use blaupause_accounts::Secret;
use ruma::api::client::account::change_password::v3::{Request, Response};

use crate::{ApiError, App, Call, client::device::remove_devices};

/// Without an access token the person would have to prove a mail address, which nobody has here.
pub(crate) async fn change_password(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { who, body, operation, .. } = call;
    let who = who.ok_or_else(ApiError::missing_token)?;
    let user = &who.user_id;
    // Asked without anything (see `call::completed`), this only says how to authenticate.
    if !body.new_password.is_empty() {
        app.accounts.check_new_password(&body.new_password)?;
    }
    app.prove_password(user, &operation, body.auth.as_ref()).await?;
    app.accounts.set_password(user, Secret::new(body.new_password)).await?;
    if body.logout_devices {
        let devices = app.accounts.device_names(user).await?;
        let others = devices.keys().filter(|device| **device != who.session.device_id);
        remove_devices(&app, user, &others.cloned().collect::<Vec<_>>()).await?;
    }
    Ok(Response::new())
}
