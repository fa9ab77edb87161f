//! `POST /_matrix/client/v3/register`

use std::collections::HashMap;

use blaupause_accounts::{Registered, Registration, RegistrationMode, Secret, SignIn};
use ruma::api::client::{
    account::register::{
        LoginType, RegistrationKind,
        v3::{Request, Response},
    },
    uiaa::{AuthData, AuthType},
};

use crate::{
    ApiError, App, Call,
    uia::{Asked, Flows, Operation, Proved, Stage},
};

const OPEN: Flows = &[&[AuthType::Dummy]];
const WITH_TOKEN: Flows = &[&[AuthType::RegistrationToken]];
/// Under which name the accepted token is remembered.
const TOKEN: &str = "registration_token";

pub(crate) async fn register(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Call { body, operation, .. } = call;
    let sign_in = (!body.inhibit_login).then_some(SignIn {
        device_id: body.device_id,
        device_name: body.initial_device_display_name,
        refresh: body.refresh_token,
    });
    if matches!(body.login_type, Some(LoginType::ApplicationService)) {
        // No application service is registered, so no token can be one's.
        return Err(ApiError::unknown_token(false));
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
    let flows = match app.accounts.settings().registration {
        RegistrationMode::Closed => return Err(ApiError::forbidden("registration is not open")),
        RegistrationMode::Token => WITH_TOKEN,
        RegistrationMode::Open => OPEN,
    };
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
    Ok(response(app.accounts.register(wanted).await?))
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
