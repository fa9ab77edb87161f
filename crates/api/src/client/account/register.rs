//! `POST /_matrix/client/v3/register`

use std::collections::HashMap;

use blaupause_accounts::{
    ProofPurpose, Registered, Registration, RegistrationMode, Secret, SignIn,
};
use ruma::api::client::{
    account::register::{
        LoginType, RegistrationKind,
        v3::{Request, Response},
    },
    uiaa::{AuthData, AuthType},
};

use super::email_stage::{email_session, email_stage};
use crate::{
    ApiError, App, Call, Newcomer,
    client::session::must_have_legacy_login,
    uia::{Asked, Flows, Operation, Proved, Stage},
};

const OPEN: Flows = &[&[AuthType::Dummy]];
const WITH_TOKEN: Flows = &[&[AuthType::RegistrationToken]];
const OPEN_OR_EMAIL: Flows = &[&[AuthType::Dummy], &[AuthType::EmailIdentity]];
const WITH_TOKEN_OR_BOTH: Flows =
    &[&[AuthType::RegistrationToken], &[AuthType::EmailIdentity, AuthType::RegistrationToken]];
const EMAIL: Flows = &[&[AuthType::EmailIdentity]];
const BOTH: Flows = &[&[AuthType::EmailIdentity, AuthType::RegistrationToken]];
/// Under which name the accepted token is remembered.
const TOKEN: &str = "registration_token";

pub(crate) async fn register(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { who, body, operation, .. } = call;
    let sign_in = (!body.inhibit_login).then_some(SignIn {
        device_id: body.device_id,
        device_name: body.initial_device_display_name,
        refresh: body.refresh_token,
        origin: None,
    });
    if matches!(body.login_type, Some(LoginType::ApplicationService)) {
        let service = who.service()?;
        if sign_in.is_some() {
            must_have_legacy_login(&app)?;
        }
        let name = body.username.ok_or_else(|| ApiError::missing_param("username"))?;
        let made = app.accounts.register_for_service(&service, &name, sign_in).await?;
        return Ok(response(made));
    }
    if !matches!(who, Newcomer::Person) {
        return Err(ApiError::unknown("only application services register with a token"));
    }
    let mut wanted = Registration { sign_in, ..Registration::default() };
    match body.kind {
        RegistrationKind::Guest => {
            wanted.guest = true;
            return Ok(response(app.accounts.register(wanted).await?));
        }
        RegistrationKind::User => {}
        _ => return Err(ApiError::invalid_param("kind must be guest or user")),
    }
    let flows = flows(&app).ok_or_else(|| ApiError::forbidden("registration is not open"))?;
    // What is wrong with name and password is said before the person goes through the stages.
    if let Some(name) = &body.username {
        app.accounts.check_username(name).await?;
    }
    if let Some(password) = &body.password {
        app.accounts.check_new_password(password)?;
    }
    let mut proved = prove(&app, &operation, flows, body.auth.as_ref()).await?;
    wanted.password =
        Some(Secret::new(body.password.ok_or_else(|| ApiError::missing_param("password"))?));
    wanted.username = body.username;
    wanted.token = proved.facts.remove(TOKEN);
    if let Some((sid, secret)) = email_session(&mut proved) {
        let purpose = &ProofPurpose::Registration;
        wanted.email = Some(app.accounts.proved_address(purpose, &sid, &secret).await?);
    }
    Ok(response(app.accounts.register(wanted).await?))
}

/// What a person may do to get an account; `None`: nothing.
fn flows(app: &App) -> Option<Flows> {
    let settings = app.accounts.settings();
    let has_mail = app.settings.mail.is_some();
    match (settings.registration, has_mail, settings.email_needed) {
        (RegistrationMode::Closed, ..) => None,
        (RegistrationMode::Token, false, _) => Some(WITH_TOKEN),
        (RegistrationMode::Token, true, false) => Some(WITH_TOKEN_OR_BOTH),
        (RegistrationMode::Token, true, true) => Some(BOTH),
        (RegistrationMode::Open, false, _) => Some(OPEN),
        (RegistrationMode::Open, true, false) => Some(OPEN_OR_EMAIL),
        (RegistrationMode::Open, true, true) => Some(EMAIL),
    }
}

/// The stages that stand between anybody and an account.
async fn prove(
    app: &App,
    operation: &Operation,
    flows: Flows,
    auth: Option<&AuthData>,
) -> Result<Proved, ApiError> {
    let session = auth.and_then(AuthData::session);
    let asked = Asked { who: None, operation, flows, session };
    let stage = match auth {
        Some(AuthData::Dummy(_)) => Some(Stage { kind: AuthType::Dummy, facts: HashMap::new() }),
        Some(AuthData::RegistrationToken(shown)) => {
            if !app.accounts.is_registration_token_valid(&shown.token).await? {
                let refused = app.uia.refuse(asked, "invalid registration token");
                return Err(refused.with("errcode", "M_UNAUTHORIZED"));
            }
            Some(token_stage(shown.token.clone()))
        }
        Some(AuthData::EmailIdentity(shown)) if app.settings.mail.is_some() => {
            Some(email_stage(app, asked, &ProofPurpose::Registration, shown).await?)
        }
        _ => None,
    };
    app.uia.step(asked, stage)
}

/// The stage of somebody who showed a registration token that is good.
pub(in crate::client) fn token_stage(token: String) -> Stage {
    Stage { kind: AuthType::RegistrationToken, facts: HashMap::from([(TOKEN, token)]) }
}

fn response(made: Registered) -> Response {
    let mut response = Response::new(made.user_id);
    if let Some(issued) = made.issued {
        response.access_token = Some(issued.access_token.reveal().to_owned());
        response.device_id = Some(issued.device_id);
        response.refresh_token = issued.refresh_token.map(|token| token.reveal().to_owned());
        response.expires_in = issued.expires_in;
    }
    response
}
