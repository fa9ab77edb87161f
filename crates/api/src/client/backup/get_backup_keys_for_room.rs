//! `GET /_matrix/client/v3/room_keys/keys/{roomId}`

use ruma::api::client::backup::get_backup_keys_for_room::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_backup_keys_for_room(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { version, room_id, .. } = &call.body;
    let mut keys = app.e2ee.backup_keys(&call.who.user_id, version, Some(room_id), None).await?;
    Ok(Response::new(super::as_sessions(keys.remove(room_id).unwrap_or_default())))
}
