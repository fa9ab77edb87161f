//! `POST /_matrix/client/v3/logout/all`

use ruma::api::client::session::logout_all::v3::{Request, Response};

use crate::{ApiError, App, Call, client::device::remove_devices};

pub(crate) async fn logout_all(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let user = &call.who.user_id;
    let devices: Vec<_> = app.accounts.device_names(user).await?.keys().cloned().collect();
    remove_devices(&app, user, &devices).await?;
    Ok(Response::new())
}
