//! `DELETE /_matrix/client/v3/directory/room/{roomAlias}`

use ruma::api::client::alias::delete_alias::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn delete_alias(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    app.accounts.check_alias(call.who.service.as_deref(), &call.body.room_alias)?;
    app.rooms.remove_alias(&call.who.user_id, &call.body.room_alias).await?;
    Ok(Response::new())
}
