//! `PUT /_matrix/client/v3/profile/{userId}/{keyName}`

use ruma::api::client::profile::set_profile_field::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn set_profile_field(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, value, .. } = &call.body;
    call.who.must_be(user_id)?;
    app.accounts.set_profile_field(user_id, &value.field_name(), &value.value()).await?;
    Ok(Response::new())
}
