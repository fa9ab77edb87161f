//! `POST /_matrix/client/v3/account/deactivate`

use ruma::{
    UserId,
    api::client::account::{
        ThirdPartyIdRemovalStatus,
        deactivate::v3::{Request, Response},
    },
};

use crate::{ApiError, App, Call};

pub(crate) async fn deactivate(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { who, body, operation, .. } = call;
    let who = who.ok_or_else(ApiError::missing_token)?;
    let user = &who.user_id;
    // A service has full control of its users, who have no password.
    if who.service.is_none() {
        app.prove_password(user, &operation, body.auth.as_ref()).await?;
    }
    close_account(&app, user, body.erase).await?;
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}

/// Close an account for good. What others keep goes first: if the server is killed in between, the
/// account is still there to be closed again. Rooms are left afterwards, by whoever follows the
/// log.
pub(crate) async fn close_account(app: &App, user: &UserId, erase: bool) -> Result<(), ApiError> {
    app.notify.remove_user(user).await?;
    app.e2ee.remove_user(user).await?;
    Ok(app.accounts.deactivate(user, erase).await?)
}
