//! `POST /_matrix/client/v3/account/deactivate`

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    deactivate::v3::{Request, Response},
};

use crate::{ApiError, App, Call};

/// What others keep goes first: if the server is killed in between, the account is still there to
/// be closed again. Rooms are left afterwards, by whoever follows the log.
pub(crate) async fn deactivate(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { who, body, operation, .. } = call;
    let who = who.ok_or_else(ApiError::missing_token)?;
    let user = &who.user_id;
    app.prove_password(user, &operation, body.auth.as_ref()).await?;
    for pusher in app.notify.pushers(user).await? {
        app.notify.delete_pusher(user, &pusher.ids).await?;
    }
    app.e2ee.remove_user(user).await?;
    app.accounts.deactivate(user, body.erase).await?;
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}
