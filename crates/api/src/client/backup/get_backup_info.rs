//! `GET /_matrix/client/v3/room_keys/version/{version}`

use ruma::UInt;
use ruma::api::client::backup::get_backup_info::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_backup_info(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let backup = app.e2ee.backup(&call.who.user_id, Some(&call.body.version)).await?;
    let algorithm = super::as_algorithm(&backup);
    let count = UInt::new_saturating(backup.count);
    Ok(Response::new(algorithm, count, backup.etag, backup.version))
}
