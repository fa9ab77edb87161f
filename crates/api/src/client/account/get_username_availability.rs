//! `GET /_matrix/client/v3/register/available`

use blaupause_accounts::RegistrationMode;
use ruma::api::client::account::get_username_availability::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_username_availability(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    // Nobody who cannot register needs to know which names are taken.
    if app.accounts.settings().registration == RegistrationMode::Closed {
        return Err(ApiError::forbidden("registration is not open"));
    }
    app.accounts.check_username(&call.body.username).await?;
    Ok(Response::new(true))
}
