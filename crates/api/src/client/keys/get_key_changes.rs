//! `GET /_matrix/client/v3/keys/changes`

use ruma::api::client::keys::get_key_changes::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_key_changes(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let changes = app.sync.key_changes(&call.who.user_id, &call.body.from, &call.body.to).await?;
    Ok(Response::new(changes.changed.into_iter().collect(), changes.left.into_iter().collect()))
}
