//! `POST /_matrix/client/v3/logout`

use ruma::api::client::session::logout::v3::{Request, Response};

use crate::{ApiError, App, Call, client::device::remove_devices};

pub(crate) async fn logout(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let device = call.who.device()?.to_owned();
    remove_devices(&app, &call.who.user_id, &[device]).await?;
    Ok(Response::new())
}
