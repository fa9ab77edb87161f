//! `GET /_matrix/client/v1/delayed_events/{delayId}`

use ruma::api::auth_scheme::AccessToken;
use serde_json::Value;

use super::shown;
use crate::{ApiError, App, asked::Asked};

pub(crate) async fn get_delayed_event(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    shown(app.rooms.delayed(&asked.who.user_id, asked.text("delay_id")).await?)
}
