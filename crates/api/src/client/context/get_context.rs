//! `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`

use blaupause_rooms::ContextQuery;
use ruma::{
    api::client::context::get_context::v3::{Request, Response},
    serde::Raw,
};

use crate::{
    ApiError, App, Call,
    client::access::{access, raw},
};

pub(crate) async fn get_context(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let event = access.event(&call.body.event_id).await?;
    let query = ContextQuery { limit: call.body.limit.into(), filter: call.body.filter };
    let context = event.context(&query).await?;
    let mut response = Response::new();
    response.start = Some(context.start);
    response.end = Some(context.end);
    response.events_before = raw(context.before);
    response.event = Some(Raw::from_json(context.event));
    response.events_after = raw(context.after);
    response.state = raw(context.state);
    Ok(response)
}
