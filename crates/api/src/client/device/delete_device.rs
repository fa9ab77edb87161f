//! `DELETE /_matrix/client/v3/devices/{deviceId}`

use ruma::api::client::device::delete_device::v3::{Request, Response};

use super::remove_devices;
use crate::{ApiError, App, Call};

pub(crate) async fn delete_device(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    app.prove_identity(&call, call.body.auth.as_ref()).await?;
    remove_devices(&app, &call.who.user_id, &[call.body.device_id]).await?;
    Ok(Response::new())
}
