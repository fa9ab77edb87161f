//! `GET /_matrix/client/v3/devices`

use ruma::api::client::device::get_devices::v3::{Request, Response};

use super::device;
use crate::{ApiError, App, Call};

pub(crate) async fn get_devices(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let devices = app.accounts.devices(&call.who.user_id).await?;
    Ok(Response::new(devices.into_iter().map(device).collect()))
}
