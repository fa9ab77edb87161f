//! `POST /_matrix/client/v3/refresh`

use ruma::api::client::session::refresh_token::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn refresh_token(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let issued = app.accounts.refresh(&call.body.refresh_token).await?;
    let mut response = Response::new(issued.access_token.reveal().to_owned());
    response.refresh_token = issued.refresh_token.map(|token| token.reveal().to_owned());
    response.expires_in_ms = issued.expires_in;
    Ok(response)
}
