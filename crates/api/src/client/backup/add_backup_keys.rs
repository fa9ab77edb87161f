//! `PUT /_matrix/client/v3/room_keys/keys`

use blaupause_e2ee::BackupKeys;
use ruma::UInt;
use ruma::api::client::backup::add_backup_keys::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn add_backup_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let body = &call.body;
    let mut keys = BackupKeys::new();
    for (room, backup) in &body.rooms {
        keys.insert(room.clone(), super::sessions(&backup.sessions)?);
    }
    let stored = app.e2ee.put_backup_keys(&call.who.user_id, &body.version, &keys).await?;
    Ok(Response::new(stored.etag, UInt::new_saturating(stored.count)))
}
