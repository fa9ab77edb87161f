//! `POST /_matrix/client/v3/pushers/set`

use ruma::api::client::push::set_pusher::v3::PusherAction;
use ruma::api::client::push::set_pusher::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn set_pusher(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let (user, device) = (&call.who.user_id, call.who.device_id.as_deref());
    match call.body.action {
        PusherAction::Post(data) => app.notify.set_pusher(user, device, &data.pusher).await?,
        PusherAction::Delete(ids) => app.notify.delete_pusher(user, &ids).await?,
        _ => return Err(ApiError::invalid_param("neither a pusher nor its removal")),
    }
    Ok(Response::new())
}
