//! `POST /_matrix/client/v1/login/get_token`

use ruma::api::client::session::get_login_token::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_login_token(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    app.prove_identity(&call, call.body.auth.as_ref()).await?;
    let token = app.accounts.login_token(&call.who.user_id).await?;
    Ok(Response::new(token.expires_in, token.token.reveal().to_owned()))
}
