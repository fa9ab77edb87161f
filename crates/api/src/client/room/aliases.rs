//! `GET /_matrix/client/v3/rooms/{roomId}/aliases`

use ruma::api::client::room::aliases::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn aliases(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let aliases = app.rooms.aliases_for(&call.who.user_id, &call.body.room_id).await?;
    Ok(Response::new(aliases))
}
