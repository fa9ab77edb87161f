//! `GET /_matrix/client/v1/media/preview_url` and the deprecated
//! `GET /_matrix/media/v3/preview_url`

use blaupause_media::PreviewError;
use ruma::api::auth_scheme::AccessToken;
use serde::Deserialize;
use serde_json::Value;

use crate::{ApiError, App, asked::Asked};

pub(super) const PATHS: [&str; 4] = [
    "/_matrix/client/v1/media/preview_url",
    "/_matrix/client/unstable/org.matrix.msc3916/media/preview_url",
    "/_matrix/media/v3/preview_url",
    "/_matrix/media/r0/preview_url",
];

/// Which time (`ts`) a preview is of is up to the server.
#[derive(Deserialize)]
struct Wanted {
    url: String,
}

/// Not with ruma's types: without previews the path is unknown, whatever is asked for.
pub(super) async fn get_media_preview(
    app: App,
    asked: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let previews = app.previews.as_ref().ok_or_else(ApiError::unrecognized)?;
    let Wanted { url } = asked.query()?;
    let preview = previews.preview(&asked.who.user_id, &url).await?;
    Ok(Value::Object((*preview).clone()))
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        let text = error.to_string();
        match error {
            PreviewError::BadUrl => Self::invalid_param(text),
            PreviewError::Denied => Self::forbidden(text),
            PreviewError::Unreachable => Self::not_found(text),
            PreviewError::Media(error) => error.into(),
        }
    }
}
