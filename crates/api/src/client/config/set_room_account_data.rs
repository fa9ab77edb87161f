//! `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`

use ruma::api::client::config::set_room_account_data::v3::{Request, Response};

use super::must_know_room;
use crate::{ApiError, App, Call};

pub(crate) async fn set_room_account_data(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { user_id, room_id, event_type, data, .. } = &call.body;
    call.who.must_be(user_id)?;
    must_know_room(&app, user_id, room_id).await?;
    let kind = event_type.to_string();
    app.accounts.set_account_data(user_id, Some(room_id), &kind, data.json()).await?;
    Ok(Response::new())
}
