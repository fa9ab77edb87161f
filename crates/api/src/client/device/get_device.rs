//! `GET /_matrix/client/v3/devices/{deviceId}`

use ruma::api::client::device::get_device::v3::{Request, Response};

use super::shown;
use crate::{ApiError, App, Call, routes::Answer};

pub(crate) async fn get_device(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let found = app.accounts.device(&call.who.user_id, &call.body.device_id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("there is no such device"))?;
    Ok(Answer::Other(shown(found)))
}
