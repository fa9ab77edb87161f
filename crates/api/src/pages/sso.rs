//! Signing in at another identity provider: there, back, and out again.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use blaupause_accounts::AccountsError;
use blaupause_sso::{Purpose, Returned, SsoError};
use http::{Method, Request, StatusCode};
use maud::{Markup, html};
use ruma::UserId;
use serde_json::json;

use super::{
    Problem, Visit,
    confirm::{self, Asked},
    layout, proof, redirect, serve,
};
use crate::{
    ApiError, App, Serve, body,
    client::device::remove_devices,
    limits::{ClientAddress, Kind},
    oauth::{Parameters, is_form},
};

/// What going to a provider takes of the limit for signing in: nothing is guessed by it.
const LIMIT_COST: f64 = 0.25;
/// Bytes of a logout request.
const LOGOUT_BYTES_MAX: usize = 64 * 1024;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/sso/{provider}", go);
    let router = serve(router, Method::GET, "/account/sso/{provider}/callback", back);
    router.serve_raw(Method::POST, "/account/sso/{provider}/logout", logged_out)
}

/// The links to the providers, for the login page.
pub(super) fn choices(visit: &Visit, next: &str) -> Markup {
    html! {
        @for provider in visit.app.sso.providers() {
            p {
                a.button href=(visit.link(&path(&provider.id), &[("next", next)])) {
                    (visit.t("Anmelden mit", "Sign in with")) " " (provider.name)
                }
            }
        }
    }
}

/// The page that leads to a provider.
pub(super) fn path(provider: &str) -> String {
    format!("/account/sso/{provider}")
}

/// The provider in this page's address.
fn provider(visit: &Visit) -> &str {
    visit.path().split('/').nth(3).unwrap_or_default()
}

async fn go(visit: Arc<Visit>) -> Result<Response, Problem> {
    visit.count(Kind::Login, LIMIT_COST)?;
    let purpose = match confirm::asked(&visit) {
        Asked::Proof(purpose) => purpose,
        Asked::Unknown => return Ok(confirm::unknown(&visit)),
        Asked::SignIn if visit.browser.is_some() => return Ok(redirect(visit.next())),
        Asked::SignIn => Purpose::SignIn,
    };
    let next = visit.next();
    match visit.app.sso.begin(provider(&visit), purpose, next, visit.lang.code()).await {
        Ok(begun) => Ok(visit.with_sso(redirect(&begun.url), Some(&begun.cookie))),
        Err(error) => Ok(refused(&visit, error)),
    }
}

async fn back(visit: Arc<Visit>) -> Result<Response, Problem> {
    visit.count(Kind::Login, LIMIT_COST)?;
    let response = match came_back(&visit).await? {
        Ok(response) => response,
        Err(error) => refused(&visit, error),
    };
    Ok(visit.with_sso(response, None))
}

async fn came_back(visit: &Visit) -> Result<Result<Response, SsoError>, Problem> {
    let returned = Returned {
        code: visit.query.get("code"),
        state: visit.query.get("state"),
        error: visit.query.get("error"),
        iss: visit.query.get("iss"),
        cookie: visit.sso_cookie(),
    };
    let sso = &visit.app.sso;
    let finished = match sso.finish(provider(visit), returned).await {
        Ok(finished) => finished,
        Err(error) => return Ok(Err(error)),
    };
    let next = if finished.next.is_empty() { "/account/" } else { &finished.next };
    match finished.purpose {
        Purpose::SignIn => {
            let admitted = match sso.admit(&finished.identity).await {
                Ok(admitted) => admitted,
                Err(error) => return Ok(Err(error)),
            };
            let accounts = &visit.app.accounts;
            let opened = accounts.open_browser_from(&admitted.user_id, &admitted.origin).await;
            let cookie = match opened {
                Ok(cookie) => cookie,
                Err(error) => return Ok(Err(error.into())),
            };
            // Whoever was signed in here before is not any more.
            visit.sign_out().await?;
            Ok(Ok(visit.with_browser(redirect(next), Some(&cookie))))
        }
        Purpose::Prove { user, session } => {
            if let Err(error) = sso.prove(&finished.identity, &user).await {
                return Ok(Err(error));
            }
            Ok(Ok(match session {
                Some(session) => confirm::done(visit, &session),
                None => {
                    proof::remember(visit, &user);
                    redirect(next)
                }
            }))
        }
    }
}

/// `POST`: a provider says that somebody signed out there (OpenID Connect Back-Channel Logout 1.0,
/// section 2.5).
async fn logged_out(State(app): State<App>, request: Request<Body>) -> Response {
    match log_out(&app, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(Problem::Accounts(error)) => ApiError::from(error).into_response(),
        Err(Problem::Api(error)) if error.status() == StatusCode::BAD_REQUEST => {
            let text = error.body()["error"].clone();
            let body = json!({ "error": "invalid_request", "error_description": text });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Err(Problem::Api(error)) => error.into_response(),
    }
}

async fn log_out(app: &App, request: Request<Body>) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    let provider = parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned();
    let bad = |why: &str| SsoError::BadLogoutToken(why.to_owned());
    if !is_form(&parts.headers) {
        return Err(ApiError::from(bad("the body is no form")).into());
    }
    let body = body::whole(&parts.headers, body, LOGOUT_BYTES_MAX).await?;
    let form = Parameters::parse(&body).unwrap_or_default();
    let token = form.get("logout_token").unwrap_or_default();
    let out = match app.sso.log_out(&provider, token).await {
        Ok(out) => out,
        Err(error) => {
            // Good ones are not held up: a provider signs out a thousand people at once.
            let address = parts.extensions.get::<ClientAddress>();
            app.limiter.take(Kind::UnknownToken, address.into(), 1.0)?;
            return Err(ApiError::from(error).into());
        }
    };
    if let Some(user) = &out.user {
        let user: &UserId = user;
        remove_devices(app, user, &out.devices).await?;
    }
    Ok(())
}

/// A page that says why somebody did not come in, and what they can do.
fn refused(visit: &Visit, error: SsoError) -> Response {
    let (text, detail) = (text(visit, &error), error.to_string());
    let detail = match &error {
        SsoError::MissingClaim(_) | SsoError::Denied(_) => Some(detail),
        _ => None,
    };
    let status = ApiError::from(error).status();
    let title = visit.t("Anmeldung nicht möglich", "Signing in did not work");
    let body = html! {
        p { (text) }
        @if let Some(detail) = detail {
            p.detail { (visit.t("Einzelheit:", "Detail:")) " " code { (detail) } }
        }
        p { a.button href="/account/login" { (visit.t("Zur Anmeldung", "Back to signing in")) } }
    };
    layout::page(visit, status, title, &body)
}

fn text(visit: &Visit, error: &SsoError) -> String {
    let text = match error {
        SsoError::UnknownProvider => visit.t(
            "Diese Anmeldung gibt es auf diesem Server nicht.",
            "This server does not have this way of signing in.",
        ),
        SsoError::Stale => visit.t(
            "Diese Anmeldung ist zu alt, schon abgeschlossen oder wurde in einem anderen Browser \
             begonnen. Bitte beginnen Sie noch einmal. Ihr Browser muss Cookies annehmen.",
            "This sign-in is too old, already finished or was begun in another browser. Please \
             start again. Your browser must accept cookies.",
        ),
        SsoError::Denied(_) => visit.t(
            "Der Anmeldedienst hat die Anmeldung abgelehnt oder Sie haben sie abgebrochen.",
            "The identity provider refused, or you cancelled.",
        ),
        SsoError::Provider(_) => visit.t(
            "Der Anmeldedienst ist gerade nicht zu gebrauchen. Bitte versuchen Sie es später noch \
             einmal oder wenden Sie sich an Ihre Administration.",
            "The identity provider cannot be used at the moment. Please try again later or contact \
             your administrators.",
        ),
        SsoError::NotAllowed => visit.t(
            "Ihr Konto beim Anmeldedienst ist für diesen Server nicht freigegeben. Bitte wenden Sie \
             sich an Ihre Administration.",
            "Your account at the identity provider may not use this server. Please contact your \
             administrators.",
        ),
        SsoError::NotRegistered => visit.t(
            "Für Sie gibt es auf diesem Server kein Konto. Bitte wenden Sie sich an Ihre \
             Administration.",
            "There is no account for you on this server. Please contact your administrators.",
        ),
        SsoError::MissingClaim(_) => visit.t(
            "Der Anmeldedienst teilt etwas nicht mit, das für Ihr Konto gebraucht wird. Bitte wenden \
             Sie sich an Ihre Administration.",
            "The identity provider does not tell something that is needed for your account. Please \
             contact your administrators.",
        ),
        SsoError::OtherPerson => visit.t(
            "Sie haben sich beim Anmeldedienst als jemand anders angemeldet. Nichts wurde geändert.",
            "You signed in at the identity provider as somebody else. Nothing was changed.",
        ),
        SsoError::NotFresh => visit.t(
            "Der Anmeldedienst hat Sie nicht noch einmal gefragt. Nichts wurde geändert.",
            "The identity provider did not ask you again. Nothing was changed.",
        ),
        SsoError::BadLocalpart(name) => return impossible(visit, name),
        SsoError::Taken(name) => return taken(visit, name),
        SsoError::Accounts(error) => return closed(visit, error),
        SsoError::BadLogoutToken(_) | SsoError::WrongJwt(_) | SsoError::JwtNotOffered => {
            visit.t("Ungültige Anfrage.", "Invalid request.")
        }
    };
    text.to_owned()
}

fn impossible(visit: &Visit, name: &str) -> String {
    match visit.t("de", "en") {
        "de" => format!(
            "Aus Ihren Angaben beim Anmeldedienst ergibt sich der Benutzername „{name}“, der hier \
             nicht möglich ist: Erlaubt sind kleine Buchstaben, Ziffern und . _ = - / +. Bitte \
             wenden Sie sich an Ihre Administration."
        ),
        _ => format!(
            "What the identity provider says about you leads to the user name \"{name}\", which is \
             not possible here: lower-case letters, digits and . _ = - / + are allowed. Please \
             contact your administrators."
        ),
    }
}

fn taken(visit: &Visit, name: &str) -> String {
    match visit.t("de", "en") {
        "de" => format!(
            "Der Benutzername „{name}“, der sich aus Ihren Angaben beim Anmeldedienst ergibt, gehört \
             hier schon jemand anderem. Bitte wenden Sie sich an Ihre Administration."
        ),
        _ => format!(
            "The user name \"{name}\", to which your data at the identity provider leads, belongs to \
             somebody else here. Please contact your administrators."
        ),
    }
}

fn closed(visit: &Visit, error: &AccountsError) -> String {
    let text = match error {
        AccountsError::Locked => visit.t(
            "Dieses Konto ist gesperrt. Bitte wenden Sie sich an Ihre Administration.",
            "This account is locked. Please contact your administrators.",
        ),
        AccountsError::Deactivated => visit.t(
            "Dieses Konto wurde geschlossen.",
            "This account has been deactivated.",
        ),
        _ => visit.t(
            "Ihre Anfrage konnte nicht bearbeitet werden. Bitte versuchen Sie es später noch einmal.",
            "Your request could not be handled. Please try again later.",
        ),
    };
    text.to_owned()
}
