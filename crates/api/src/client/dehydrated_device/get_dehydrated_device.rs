//! `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`

use ruma::{
    api::client::dehydrated_device::get_dehydrated_device::unstable::{Request, Response},
    serde::Raw,
};

use crate::{ApiError, App, Call};

pub(crate) async fn get_dehydrated_device(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let kept = app.accounts.dehydrated(&call.who.user_id).await?.ok_or_else(none)?;
    let data = Raw::from_json_string(kept.data).map_err(|error| ApiError::internal(&error))?;
    Ok(Response::new(kept.device_id, data))
}

/// matrix-js-sdk tells "none" from "not served" by the code.
pub(super) fn none() -> ApiError {
    ApiError::not_found("you have no dehydrated device")
}
