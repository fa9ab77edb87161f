//! `GET /_matrix/federation/v1/query/directory`

use blaupause_rooms::RoomsError;
use ruma::api::federation::query::get_room_information::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(super) async fn get_room_information(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let alias = &call.body.room_alias;
    let found = match app.rooms.alias_for_server(alias).await {
        // The application services that own it make the room.
        Err(RoomsError::NotFound(_))
            if alias.server_name() == app.data.server_name()
                && app.services.ask_for_alias(alias).await =>
        {
            app.rooms.alias_for_server(alias).await?
        }
        found => found?,
    };
    Ok(Response::new(found.room_id, found.servers))
}
