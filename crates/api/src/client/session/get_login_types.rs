//! `GET /_matrix/client/v3/login`

use ruma::api::client::session::get_login_types::v3::{
    LoginType, PasswordLoginType, Request, Response, TokenLoginType,
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_login_types(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    let mut token = TokenLoginType::new();
    token.get_login_token = true;
    let mut flows = vec![LoginType::Token(token)];
    if app.accounts.settings().password_login {
        flows.insert(0, LoginType::Password(PasswordLoginType::new()));
    }
    Ok(Response::new(flows))
}
