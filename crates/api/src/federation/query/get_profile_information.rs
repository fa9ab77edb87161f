//! `GET /_matrix/federation/v1/query/profile`

use ruma::api::federation::query::get_profile_information::v1::{Request, Response};

use crate::{ApiError, App, Call, client::profile::local_profile};

pub(crate) async fn get_profile_information(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { user_id, field, .. } = call.body;
    let profile = if app.is_local(&user_id) { local_profile(&app, &user_id).await? } else { None };
    let profile = profile.ok_or_else(|| ApiError::not_found("nobody of this server"))?;
    let Some(field) = field else { return Ok(profile.to_ruma().into()) };
    let mut response = Response::new();
    if let Some(value) = profile.field(&field) {
        response.set(field.as_str().to_owned(), value);
    }
    Ok(response)
}
