//! `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`

use http::StatusCode;
use ruma::api::client::profile::delete_profile_field::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn delete_profile_field(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { user_id, field, .. } = &call.body;
    if call.who.user_id != *user_id {
        // 400 and not 403: so it is known to clients from other servers.
        let message = "this profile belongs to somebody else";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "M_FORBIDDEN", message));
    }
    app.accounts.delete_profile_field(user_id, field).await?;
    Ok(Response::new())
}
