//! `PUT /_matrix/client/v3/presence/{userId}/status`

use ruma::api::client::presence::set_presence::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn set_presence(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, presence, status_msg, .. } = call.body;
    call.who.must_be(&user_id)?;
    app.accounts.presence().set(&user_id, &presence, status_msg)?;
    Ok(Response::new())
}
