//! `GET /_matrix/client/v1/register/m.login.registration_token/validity`

use blaupause_accounts::RegistrationMode;
use ruma::api::client::account::check_registration_token_validity::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn check_registration_token_validity(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    if app.accounts.settings().registration == RegistrationMode::Closed {
        return Err(ApiError::forbidden("registration is not open"));
    }
    Ok(Response::new(app.accounts.is_registration_token_valid(&call.body.token).await?))
}
