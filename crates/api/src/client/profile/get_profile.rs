//! `GET /_matrix/client/v3/profile/{userId}`

use ruma::api::client::profile::get_profile::v3::{Request, Response};

use super::profile_of;
use crate::{ApiError, App, Call};

pub(crate) async fn get_profile(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    Ok(profile_of(&app, &call.body.user_id).await?.into())
}
