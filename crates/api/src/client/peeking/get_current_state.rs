//! `GET /_matrix/client/v3/rooms/{roomId}/initialSync`

use blaupause_data::Member;
use ruma::api::client::peeking::get_current_state::v3::{PaginationChunk, Request, Response};

use crate::{
    ApiError, App, Call,
    client::access::{access, raw},
};

pub(crate) async fn get_current_state(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let initial = access.initial_sync().await?;
    // Oldest first: what was the start of a page that goes back is its end.
    let mut messages = PaginationChunk::new(raw(initial.messages.chunk), initial.messages.start);
    messages.start = initial.messages.end;
    let mut response = Response::new(call.body.room_id);
    response.membership = access.membership().map(Member::to_state);
    response.messages = Some(messages);
    response.state = raw(initial.state);
    Ok(response)
}
