//! `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`

use ruma::api::client::profile::delete_profile_field::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn delete_profile_field(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { user_id, field, .. } = &call.body;
    call.who.must_be(user_id)?;
    app.accounts.delete_profile_field(user_id, field).await?;
    Ok(Response::new())
}
