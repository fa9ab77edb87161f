//! `POST /_matrix/client/v3/logout/all`

use ruma::api::client::session::logout_all::v3::{Request, Response};

use crate::{ApiError, App, Call, client::device::remove_devices};

pub(crate) async fn logout_all(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let user = &call.who.user_id;
    let devices = app.accounts.devices(user).await?;
    let devices: Vec<_> = devices.into_iter().map(|device| device.device_id).collect();
    remove_devices(&app, user, &devices).await?;
    Ok(Response::new())
}
