//! `GET /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`

use ruma::api::client::threads::get_thread_subscription::unstable::{Request, Response};

use super::{must_be_on, refused};
use crate::{ApiError, App, Call, client::access::reader};

pub(crate) async fn get_thread_subscription(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    must_be_on(&app)?;
    let Request { room_id, thread_root, .. } = &call.body;
    let reader = reader(&call.who);
    let found = app.notify.thread_subscription(&reader, room_id, thread_root).await;
    let automatic = found.map_err(refused)?;
    let automatic = automatic.ok_or_else(|| ApiError::not_found("the thread is not subscribed"))?;
    Ok(Response::new(automatic))
}
