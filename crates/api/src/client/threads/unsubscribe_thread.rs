//! `DELETE /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`

use ruma::api::client::threads::unsubscribe_thread::unstable::{Request, Response};

use super::{must_be_on, refused};
use crate::{ApiError, App, Call, client::access::reader};

pub(crate) async fn unsubscribe_thread(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    must_be_on(&app)?;
    let Request { room_id, thread_root, .. } = &call.body;
    let done = app.notify.unsubscribe(&reader(&call.who), room_id, thread_root).await;
    done.map_err(refused)?;
    Ok(Response::new())
}
