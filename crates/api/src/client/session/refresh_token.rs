//! `POST /_matrix/client/v3/refresh`

use blaupause_accounts::AccountsError;
use ruma::api::client::session::refresh_token::v3::{Request, Response};

use crate::{
    ApiError, App, Call,
    limits::{Counted, Kind},
};

pub(crate) async fn refresh_token(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let address = Counted::from(call.address.as_ref());
    app.limiter.look(Kind::UnknownToken, address)?;
    let issued = app.accounts.refresh(&call.body.refresh_token).await;
    if let Err(AccountsError::UnknownToken { soft_logout: false }) = &issued {
        // It is told that the token is wrong, even if that was the last one.
        let _ = app.limiter.take(Kind::UnknownToken, address, 1.0);
    }
    let issued = issued?;
    let mut response = Response::new(issued.access_token.reveal().to_owned());
    response.refresh_token = issued.refresh_token.map(|token| token.reveal().to_owned());
    response.expires_in_ms = issued.expires_in;
    Ok(response)
}
