//! `PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`

use blaupause_e2ee::BackupKeys;
use ruma::UInt;
use ruma::api::client::backup::add_backup_keys_for_session::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn add_backup_keys_for_session(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let body = &call.body;
    let mut keys = BackupKeys::new();
    let key = super::session(&body.session_data)?;
    keys.entry(body.room_id.clone()).or_default().insert(body.session_id.clone(), key);
    let stored = app.e2ee.put_backup_keys(&call.who.user_id, &body.version, &keys).await?;
    Ok(Response::new(stored.etag, UInt::new_saturating(stored.count)))
}
