//! `POST /_matrix/client/v3/account/password`

use blaupause_accounts::{ProofPurpose, Secret};
use ruma::api::client::{
    account::change_password::v3::{Request, Response},
    uiaa::{AuthData, AuthType},
};

use super::email_stage::{email_session, email_stage};
use crate::{
    ApiError, App, Call,
    client::device::remove_devices,
    uia::{Asked, Flows, Operation},
};

/// Of those who have forgotten their password.
const EMAIL: Flows = &[&[AuthType::EmailIdentity]];

pub(crate) async fn change_password(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { who, body, operation, .. } = call;
    if who.is_none() && app.settings.mail.is_none() {
        return Err(ApiError::missing_token());
    }
    // Asked without anything (see `call::completed`), this only says how to authenticate.
    if !body.new_password.is_empty() {
        app.accounts.check_new_password(&body.new_password)?;
    }
    let Some(who) = who else { return reset(&app, &operation, body).await };
    who.must_be_person()?;
    let user = &who.user_id;
    app.prove_password(user, &operation, body.auth.as_ref()).await?;
    app.accounts.set_password(user, Secret::new(body.new_password)).await?;
    if body.logout_devices {
        let devices = app.accounts.device_names(user).await?;
        let others = devices.keys().filter(|device| who.device_id.as_ref() != Some(*device));
        remove_devices(&app, user, &others.cloned().collect::<Vec<_>>()).await?;
    }
    Ok(Response::new())
}

/// Without an access token the person proves a mail address.
async fn reset(app: &App, operation: &Operation, body: Request) -> Result<Response, ApiError> {
    let session = body.auth.as_ref().and_then(AuthData::session);
    let asked = Asked { who: None, operation, flows: EMAIL, session };
    let stage = match &body.auth {
        Some(AuthData::EmailIdentity(shown)) => {
            Some(email_stage(app, asked, &ProofPurpose::Password, shown).await?)
        }
        _ => None,
    };
    let mut proved = app.uia.step(asked, stage)?;
    let (sid, secret) = email_session(&mut proved).ok_or_else(ApiError::missing_token)?;
    let new = Secret::new(body.new_password);
    let user = app.accounts.reset_password(&sid, &secret, new).await?;
    if body.logout_devices {
        let devices = app.accounts.device_names(&user).await?;
        remove_devices(app, &user, &devices.keys().cloned().collect::<Vec<_>>()).await?;
    }
    Ok(Response::new())
}
