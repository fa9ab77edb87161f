//! `GET /_matrix/federation/v1/user/devices/{userId}`

use ruma::{
    UInt,
    api::federation::device::get_devices::v1::{Request, Response, UserDevice},
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_devices(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let user = call.body.user_id;
    let found = app.e2ee.devices_for_others(&user).await?;
    let found = found.ok_or_else(|| ApiError::not_found("nobody of this server"))?;
    let mut answer = Response::new(user, UInt::new_saturating(found.stream_id));
    answer.devices =
        found.devices.into_iter().map(|(id, keys)| UserDevice::new(id, keys)).collect();
    answer.master_key = found.master;
    answer.self_signing_key = found.self_signing;
    Ok(answer)
}
