//! `DELETE /_matrix/client/v3/room_keys/version/{version}`

use ruma::api::client::backup::delete_backup_version::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn delete_backup_version(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    app.e2ee.delete_backup(&call.who.user_id, &call.body.version).await?;
    Ok(Response::new())
}
