//! `POST /_matrix/client/v3/user/{userId}/filter`

use ruma::api::client::filter::create_filter::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn create_filter(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, filter, .. } = &call.body;
    call.who.must_be(user_id)?;
    let number = app.accounts.create_filter(user_id, filter).await?;
    Ok(Response::new(number.to_string()))
}
