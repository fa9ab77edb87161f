//! `GET /_matrix/client/v1/rooms/{roomId}/threads`

use blaupause_rooms::ThreadsQuery;
use ruma::api::client::threads::get_threads::v1::{IncludeThreads, Request, Response};

use crate::{
    ApiError, App, Call,
    client::access::{access, raw},
};

pub(crate) async fn get_threads(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let participated = match call.body.include {
        IncludeThreads::All => false,
        IncludeThreads::Participated => true,
        _ => return Err(ApiError::invalid_param("include must be all or participated")),
    };
    let access = access(&app, &call.who, &call.body.room_id).await?;
    let (limit, from) = (call.body.limit.map(Into::into), call.body.from);
    let found = access.threads(&ThreadsQuery { participated, limit, from }).await?;
    let mut response = Response::new(raw(found.chunk));
    response.next_batch = found.next_batch;
    Ok(response)
}
