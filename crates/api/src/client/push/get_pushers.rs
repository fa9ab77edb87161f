//! `GET /_matrix/client/v3/pushers`

use ruma::api::client::push::get_pushers::v3::{Request, Response};
use serde_json::{Value, json};

use super::{DEVICE_ID, ENABLED};
use crate::{ApiError, App, Call, routes::Answer};

/// With the fields of MSC3881, which ruma does not know.
pub(crate) async fn get_pushers(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let mut shown = Vec::new();
    for own in app.notify.pushers(&call.who.user_id).await? {
        let mut pusher: Value =
            serde_json::to_value(&own.pusher).map_err(|error| ApiError::internal(&error))?;
        pusher[ENABLED] = json!(own.enabled);
        if let Some(device) = own.device {
            pusher[DEVICE_ID] = json!(device);
        }
        shown.push(pusher);
    }
    Ok(Answer::Other(json!({ "pushers": shown })))
}
