//! `DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`

use ruma::api::client::dehydrated_device::delete_dehydrated_device::unstable::{Request, Response};

use super::get_dehydrated_device::none;
use crate::{ApiError, App, Call};

pub(crate) async fn delete_dehydrated_device(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let device = app.e2ee.delete_dehydrated(&call.who.user_id).await?;
    Ok(Response::new(device.ok_or_else(none)?))
}
