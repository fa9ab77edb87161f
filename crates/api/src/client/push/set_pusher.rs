//! `POST /_matrix/client/v3/pushers/set`

use blaupause_notify::SetPusher;
use ruma::api::client::push::set_pusher::v3::{PusherAction, Request, Response};
use serde::Deserialize;

use super::ENABLED;
use crate::{ApiError, App, Call};

pub(crate) async fn set_pusher(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let (user, device) = (&call.who.user_id, call.who.device_id.as_deref());
    match &call.body.action {
        PusherAction::Post(data) => {
            let enabled = enabled(&call.raw)?;
            let wanted = SetPusher { pusher: &data.pusher, append: data.append, enabled };
            app.notify.set_pusher(user, device, wanted).await?;
        }
        PusherAction::Delete(ids) => app.notify.delete_pusher(user, ids).await?,
        _ => return Err(ApiError::invalid_param("neither a pusher nor its removal")),
    }
    Ok(Response::new())
}

/// What ruma does not know of the body (MSC3881).
fn enabled(body: &[u8]) -> Result<Option<bool>, ApiError> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "org.matrix.msc3881.enabled")]
        unstable: Option<bool>,
        enabled: Option<bool>,
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|_| ApiError::bad_json(format!("{ENABLED} is true or false")))?;
    Ok(body.unstable.or(body.enabled))
}
