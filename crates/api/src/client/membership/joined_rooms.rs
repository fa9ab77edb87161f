//! `GET /_matrix/client/v3/joined_rooms`

use ruma::api::client::membership::joined_rooms::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn joined_rooms(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(app.rooms.joined_rooms(&call.who.user_id).await?))
}
