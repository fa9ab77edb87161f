//! `POST /_matrix/client/v3/delete_devices`

use ruma::api::client::device::delete_devices::v3::{Request, Response};

use super::remove_devices;
use crate::{ApiError, App, Call};

pub(crate) async fn delete_devices(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    app.prove_identity(&call, call.body.auth.as_ref()).await?;
    remove_devices(&app, &call.who.user_id, &call.body.devices).await?;
    Ok(Response::new())
}
