//! `GET /_matrix/client/v3/devices`

use ruma::api::client::device::get_devices::v3::{Request, Response};
use serde_json::json;

use super::shown;
use crate::{ApiError, App, Call, routes::Answer};

pub(crate) async fn get_devices(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let devices = app.accounts.devices(&call.who.user_id).await?;
    let devices: Vec<_> = devices.into_iter().map(shown).collect();
    Ok(Answer::Other(json!({ "devices": devices })))
}
