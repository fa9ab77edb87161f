//! `PUT /_matrix/client/v3/room_keys/version/{version}`

use ruma::api::client::backup::update_backup_version::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn update_backup_version(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let backup = super::algorithm(&call.body.algorithm)?;
    let (user, version) = (&call.who.user_id, &call.body.version);
    app.e2ee.update_backup(user, version, &backup.algorithm, &backup.auth_data).await?;
    Ok(Response::new())
}
