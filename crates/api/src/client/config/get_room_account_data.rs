//! `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`

use ruma::{
    api::client::config::get_room_account_data::v3::{Request, Response},
    serde::Raw,
};

use super::account_data;
use crate::{ApiError, App, Call};

pub(crate) async fn get_room_account_data(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { user_id, room_id, event_type, .. } = &call.body;
    call.who.must_be(user_id)?;
    let content = account_data(&app, user_id, Some(room_id), &event_type.to_string()).await?;
    Ok(Response::new(Raw::from_json(content)))
}
