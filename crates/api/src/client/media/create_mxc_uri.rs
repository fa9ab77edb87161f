//! `POST /_matrix/media/v1/create`

use ruma::api::client::media::create_mxc_uri::v1::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn create_mxc_uri(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let created = app.media.create(&call.who.user_id).await?;
    let mut answer = Response::new(created.uri);
    answer.unused_expires_at = Some(created.expires);
    Ok(answer)
}
