//! `GET /_matrix/client/v3/directory/room/{roomAlias}`

use ruma::api::client::alias::get_alias::v3::{Request, Response};

use super::resolve;
use crate::{ApiError, App, Call};

pub(crate) async fn get_alias(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let found = resolve(&app, &call.body.room_alias).await?;
    Ok(Response::new(found.room_id, found.servers))
}
