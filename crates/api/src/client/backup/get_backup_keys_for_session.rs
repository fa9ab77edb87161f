//! `GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`

use blaupause_e2ee::E2eeError;
use ruma::api::client::backup::get_backup_keys_for_session::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_backup_keys_for_session(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request { version, room_id, session_id, .. } = &call.body;
    let user = &call.who.user_id;
    let mut keys = app.e2ee.backup_keys(user, version, Some(room_id), Some(session_id)).await?;
    let mut sessions = super::as_sessions(keys.remove(room_id).unwrap_or_default());
    let key = sessions.remove(session_id).ok_or(E2eeError::BackupKeyUnknown)?;
    Ok(Response::new(key))
}
