//! `POST /_matrix/client/v3/delete_devices`

use std::collections::BTreeSet;

use ruma::api::client::device::delete_devices::v3::{Request, Response};

use super::remove_devices;
use crate::{ApiError, App, Call};

pub(crate) async fn delete_devices(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    // The path names no device: the proof is bound to those in the body.
    let devices: BTreeSet<_> = call.body.devices.iter().map(|device| device.as_str()).collect();
    let operation = format!("{} {devices:?}", call.operation);
    app.prove_password(&call.who.user_id, &operation, call.body.auth.as_ref()).await?;
    remove_devices(&app, &call.who.user_id, &call.body.devices).await?;
    Ok(Response::new())
}
