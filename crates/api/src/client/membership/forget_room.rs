//! `POST /_matrix/client/v3/rooms/{roomId}/forget`

use ruma::api::client::membership::forget_room::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn forget_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    app.rooms.forget(&call.who.user_id, &call.body.room_id).await?;
    Ok(Response::new())
}
