//! `GET /_matrix/client/v1/media/config` and the deprecated `GET /_matrix/media/v3/config`

use ruma::{
    UInt,
    api::client::{authenticated_media, media},
};

use crate::{ApiError, App, Call};

use authenticated_media::get_media_config::v1;
use media::get_media_config::v3;

pub(crate) async fn get_media_config(
    app: App,
    _: Call<v1::Request>,
) -> Result<v1::Response, ApiError> {
    Ok(v1::Response::new(UInt::new_saturating(app.media.settings().upload_bytes_max)))
}

#[expect(deprecated, reason = "clients still ask there")]
pub(crate) async fn get_media_config_deprecated(
    app: App,
    _: Call<v3::Request>,
) -> Result<v3::Response, ApiError> {
    Ok(v3::Response::new(UInt::new_saturating(app.media.settings().upload_bytes_max)))
}
