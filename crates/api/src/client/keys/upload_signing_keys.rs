//! `POST /_matrix/client/v3/keys/device_signing/upload`

use blaupause_e2ee::CrossSigningUpload;
use ruma::api::client::keys::upload_signing_keys::v3::{Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn upload_signing_keys(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let upload = CrossSigningUpload {
        master: call.body.master_key.clone(),
        self_signing: call.body.self_signing_key.clone(),
        user_signing: call.body.user_signing_key.clone(),
    };
    if app.e2ee.cross_signing_needs_proof(&call.who.user_id, &upload).await? {
        app.prove_identity(&call, call.body.auth.as_ref()).await?;
    }
    app.e2ee.upload_cross_signing(&call.who.user_id, &upload).await?;
    Ok(Response::new())
}
