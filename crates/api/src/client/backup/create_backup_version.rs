//! `POST /_matrix/client/v3/room_keys/version`

use ruma::api::client::backup::create_backup_version::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn create_backup_version(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let backup = super::algorithm(&call.body.algorithm)?;
    let version =
        app.e2ee.create_backup(&call.who.user_id, &backup.algorithm, &backup.auth_data).await?;
    Ok(Response::new(version))
}
