//! `GET /_matrix/client/v3/thirdparty/user`

use ruma::api::client::thirdparty::get_user_for_user_id::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_user_for_user_id(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    Ok(Response::new(app.services.users_of(&call.body.userid).await))
}
