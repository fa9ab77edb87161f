//! `PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`

use blaupause_e2ee::NewDehydrated;
use ruma::api::client::dehydrated_device::put_dehydrated_device::unstable::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn put_dehydrated_device(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let body = &call.body;
    let new = NewDehydrated {
        device_id: body.device_id.clone(),
        display_name: body.initial_device_display_name.as_deref(),
        data: body.device_data.json().get(),
        keys: &body.device_keys,
        one_time: body.one_time_keys.iter().map(|(id, key)| (&**id, key)).collect(),
        fallback: body.fallback_keys.iter().map(|(id, key)| (&**id, key)).collect(),
    };
    app.e2ee.put_dehydrated(&call.who.user_id, &new).await?;
    Ok(Response::new(call.body.device_id))
}
