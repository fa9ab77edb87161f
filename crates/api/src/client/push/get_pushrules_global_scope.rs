//! `GET /_matrix/client/v3/pushrules/global/`

use ruma::api::client::push::get_pushrules_global_scope::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn get_pushrules_global_scope(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    Ok(Response::new(app.notify.ruleset(&call.who.user_id).await?))
}
