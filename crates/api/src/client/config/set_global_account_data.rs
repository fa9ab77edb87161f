//! `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`

use ruma::api::client::config::set_global_account_data::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn set_global_account_data(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { user_id, event_type, data, .. } = &call.body;
    call.who.must_be(user_id)?;
    let kind = event_type.to_string();
    app.accounts.set_account_data(user_id, None, &kind, data.json()).await?;
    Ok(Response::new())
}
