//! `PUT /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`

use ruma::api::client::threads::subscribe_thread::unstable::{Request, Response};

use super::{must_be_on, refused};
use crate::{ApiError, App, Call, client::access::reader};

pub(crate) async fn subscribe_thread(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    must_be_on(&app)?;
    let Request { room_id, thread_root, automatic, .. } = &call.body;
    let reader = reader(&call.who);
    let done = app.notify.subscribe(&reader, room_id, thread_root, automatic.as_deref()).await;
    done.map_err(refused)?;
    Ok(Response::new())
}
