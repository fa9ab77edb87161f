//! `PUT /_matrix/client/v3/directory/room/{roomAlias}`

use blaupause_rooms::RoomsError;
use http::StatusCode;
use ruma::api::client::alias::create_alias::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn create_alias(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { room_alias, room_id, .. } = call.body;
    app.accounts.check_alias(call.who.service.as_deref(), &room_alias)?;
    match app.rooms.add_alias(&call.who.user_id, &room_alias, &room_id).await {
        // Here, unlike when a room is created, a conflict (spec: "PUT /directory/room").
        Err(RoomsError::AliasTaken) => {
            let text = RoomsError::AliasTaken.to_string();
            Err(ApiError::new(StatusCode::CONFLICT, "M_UNKNOWN", text))
        }
        done => Ok(done.map(|()| Response::new())?),
    }
}
