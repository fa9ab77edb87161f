//! `PUT /_matrix/client/v3/devices/{deviceId}`

use ruma::api::client::device::update_device::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn update_device(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { device_id, display_name, .. } = &call.body;
    let user = &call.who.user_id;
    app.accounts.rename_device(user, device_id, display_name.as_deref()).await?;
    Ok(Response::new())
}
