//! `POST /_matrix/client/v3/keys/upload`

use ruma::api::client::keys::upload_keys::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn upload_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let device = call.who.device()?;
    let Request { device_keys, one_time_keys, fallback_keys, .. } = &call.body;
    let pairs = |keys: &'_ std::collections::BTreeMap<_, _>| keys.clone();
    let (one_time, fallback) = (pairs(one_time_keys), pairs(fallback_keys));
    let counts = app
        .e2ee
        .upload_keys(
            &call.who.user_id,
            device,
            device_keys.as_ref(),
            one_time.iter().map(|(id, key)| (&**id, key)),
            fallback.iter().map(|(id, key)| (&**id, key)),
        )
        .await?;
    Ok(Response::new(blaupause_sync::one_time_counts(&counts)))
}
