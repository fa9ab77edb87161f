//! `DELETE /_matrix/client/v3/room_keys/keys/{roomId}`

use ruma::UInt;
use ruma::api::client::backup::delete_backup_keys_for_room::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn delete_backup_keys_for_room(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let (user, version) = (&call.who.user_id, &call.body.version);
    let stored = app.e2ee.delete_backup_keys(user, version, Some(&call.body.room_id), None).await?;
    Ok(Response::new(stored.etag, UInt::new_saturating(stored.count)))
}
