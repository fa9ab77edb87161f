//! `POST /_matrix/client/v3/rooms/{roomId}/upgrade`

use blaupause_rooms::UpgradeRoom;
use ruma::api::client::room::upgrade_room::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn upgrade_room(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    // It makes a room.
    app.settings.create_rooms.must_include(&call.who)?;
    let request = UpgradeRoom {
        room: call.body.room_id,
        user: call.who.user_id,
        version: call.body.new_version,
        additional_creators: call.body.additional_creators,
    };
    Ok(Response::new(app.rooms.upgrade(&request).await?))
}
