//! `GET /_matrix/client/v3/room_keys/keys`

use ruma::api::client::backup::RoomKeyBackup;
use ruma::api::client::backup::get_backup_keys::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_backup_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let keys = app.e2ee.backup_keys(&call.who.user_id, &call.body.version, None, None).await?;
    let rooms = keys
        .into_iter()
        .map(|(room, sessions)| (room, RoomKeyBackup::new(super::as_sessions(sessions))));
    Ok(Response::new(rooms.collect()))
}
