//! `POST /_matrix/client/v3/user/{userId}/openid/request_token`

use ruma::{
    api::client::account::request_openid_token::v3::{Request, Response},
    authentication::TokenType,
};

use crate::{ApiError, App, Call};

pub(crate) async fn request_openid_token(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    call.who.must_be(&call.body.user_id)?;
    let made = app.accounts.openid_token(&call.who.user_id).await?;
    let token = made.token.reveal().to_owned();
    let server = app.data.server_name().to_owned();
    Ok(Response::new(token, TokenType::Bearer, server, made.expires_in))
}
