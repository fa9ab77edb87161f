//! `POST /_matrix/client/v3/keys/device_signing/upload`

use blaupause_e2ee::CrossSigningUpload;
use ruma::api::client::keys::upload_signing_keys::v3::{Request, Response};

use crate::{ApiError, App, Call, User, oauth::account_url};

pub(crate) async fn upload_signing_keys(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let upload = CrossSigningUpload {
        master: call.body.master_key.clone(),
        self_signing: call.body.self_signing_key.clone(),
        user_signing: call.body.user_signing_key.clone(),
    };
    let user = &call.who.user_id;
    let mut was_allowed = false;
    let is_service = call.who.service.is_some();
    if !is_service && app.e2ee.cross_signing_needs_proof(user, &upload).await? {
        match reset_page(&app, &call.who).await? {
            // Clients ask again, in the session or without, until the person has allowed it.
            Some(page) if !app.accounts.may_reset(user).await? => {
                return Err(app.uia.see_page(&page));
            }
            Some(_) => was_allowed = true,
            None => {
                app.prove_identity(&call, call.body.auth.as_ref()).await?;
            }
        }
    }
    app.e2ee.upload_cross_signing(user, &upload).await?;
    if was_allowed {
        app.accounts.reset_done(user).await?;
    }
    Ok(Response::new())
}

/// The page on which the person allows it, if the session is an OAuth client's; `None`: the client
/// knows the password.
async fn reset_page(app: &App, who: &User) -> Result<Option<String>, ApiError> {
    let (Some(oauth), Some(device)) = (&app.settings.oauth, &who.device_id) else {
        return Ok(None);
    };
    let session = app.accounts.oauth_session(&who.user_id, device).await?;
    let action = "org.matrix.cross_signing_reset";
    Ok(session.map(|_| account_url(&oauth.base_url, Some(action))))
}
