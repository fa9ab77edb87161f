//! `GET /_matrix/client/v3/room_keys/version`

use ruma::UInt;
use ruma::api::client::backup::get_latest_backup_info::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_latest_backup_info(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let backup = app.e2ee.backup(&call.who.user_id, None).await?;
    let algorithm = super::as_algorithm(&backup);
    let count = UInt::new_saturating(backup.count);
    Ok(Response::new(algorithm, count, backup.etag, backup.version))
}
