//! `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`

use blaupause_e2ee::Recipients;
use ruma::api::client::to_device::send_event_to_device::v3::{Request, Response};
use ruma::to_device::DeviceIdOrAllDevices;

use crate::{ApiError, App, Call};

/// Bytes of an event type.
const EVENT_TYPE_BYTES_MAX: usize = 255;

pub(crate) async fn send_event_to_device(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { event_type, txn_id, messages, .. } = &call.body;
    let kind = event_type.to_string();
    if kind.len() > EVENT_TYPE_BYTES_MAX {
        return Err(ApiError::invalid_param("the event type is too long"));
    }
    let messages = messages
        .iter()
        .map(|(user, contents)| {
            let contents = contents.iter().map(|(to, content)| {
                let to = match to {
                    DeviceIdOrAllDevices::DeviceId(device) => Recipients::Device(device.clone()),
                    DeviceIdOrAllDevices::AllDevices => Recipients::All,
                };
                (to, content.json().to_owned())
            });
            (user.clone(), contents.collect())
        })
        .collect();
    let (user, device) = (&call.who.user_id, call.who.device_id.as_deref());
    app.e2ee.send_to_device(user, device, txn_id, &kind, &messages).await?;
    Ok(Response::new())
}
