//! `GET /_matrix/client/v3/rooms/{roomId}/state`

use ruma::api::client::state::get_state_events::v3::{Request, Response};

use crate::{
    ApiError, App, Call,
    client::access::{access, raw},
};

pub(crate) async fn get_state_events(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let access = access(&app, &call.who, &call.body.room_id).await?;
    Ok(Response::new(raw(access.full_state().await?)))
}
