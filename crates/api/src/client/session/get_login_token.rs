//! `POST /_matrix/client/v1/login/get_token`

use ruma::api::client::session::get_login_token::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_login_token(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    call.who.must_be_person()?;
    app.prove_identity(&call, call.body.auth.as_ref()).await?;
    let user = &call.who.user_id;
    let origin = match &call.who.device_id {
        Some(device) => app.accounts.origin_of_device(user, device).await?,
        None => None,
    };
    let token = app.accounts.login_token(user, origin.as_ref()).await?;
    Ok(Response::new(token.expires_in, token.token.reveal().to_owned()))
}
