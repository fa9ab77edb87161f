//! `GET /_matrix/client/v3/profile/{userId}/{keyName}`

use ruma::{
    api::client::profile::get_profile_field::v3::{Request, Response},
    profile::ProfileFieldValue,
};

use super::profile_of;
use crate::{ApiError, App, Call};

pub(crate) async fn get_profile_field(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { user_id, field, .. } = &call.body;
    let profile = profile_of(&app, user_id).await?;
    let value = profile.get(field.as_str()).cloned();
    let value = value.and_then(|value| ProfileFieldValue::new(field.as_str(), value).ok());
    let value = value.ok_or_else(|| ApiError::not_found("there is no such profile field"))?;
    Ok(Response::new(value))
}
