//! `GET /_matrix/client/v3/auth/{auth_type}/fallback/web`: the stage of the registration token.
//!
//! The pages hold nothing that comes from the request: the form goes back to its own address, in
//! which the session stands.

use axum::{
    body::Body,
    extract::{Query, State},
    response::{Html, IntoResponse, Response},
};
use blaupause_accounts::RegistrationMode;
use http::{HeaderValue, Request, StatusCode, Uri, header, request::Parts};
use ruma::api::client::uiaa::AuthType;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::{
    ApiError, App, body,
    call::PathParams,
    client::account::token_stage,
    pages::{self, confirm},
};

/// Bytes of a filled-in form.
const FORM_BYTES_MAX: usize = 16 * 1024;

const FORM: &str = include_str!("registration_token.html");
const DONE: &str = include_str!("done.html");
/// Where the form says that the token was not good.
const PROBLEM: &str = "<!-- problem -->";
const WRONG: &str = "<p role=\"alert\">This registration token is not valid.</p>";

#[derive(Deserialize)]
struct Parameters {
    session: Option<String>,
}

#[derive(Deserialize)]
struct Filled {
    #[serde(default)]
    token: String,
}

/// `GET`: the form.
pub(super) async fn get_uiaa_fallback_page(
    State(app): State<App>,
    params: PathParams,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let kind = params.iter().next().map_or("", |(_, value)| value);
    if kind == AuthType::Sso.as_str() && !app.sso.providers().is_empty() {
        return to_confirm(&app, &parts);
    }
    session(&app, &params, &parts)?;
    Ok(page(&app, StatusCode::OK, FORM))
}

/// Signing in once more has a page of its own, with the others that need cookies.
fn to_confirm(app: &App, parts: &Parts) -> Result<Response, ApiError> {
    let session = open_session(app, parts)?;
    let query = Serializer::new(String::new()).append_pair("session", &session).finish();
    Ok(pages::redirect(&format!("{}?{query}", confirm::PATH)))
}

/// What closes the window of the client.
pub(crate) fn done_page(app: &App) -> Response {
    page(app, StatusCode::OK, DONE)
}

/// `POST`: what was filled in.
pub(super) async fn post_uiaa_fallback_page(
    State(app): State<App>,
    params: PathParams,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let session = session(&app, &params, &parts)?;
    let body = body::whole(&parts.headers, body, FORM_BYTES_MAX).await?;
    let Filled { token } =
        filled(&body).ok_or_else(|| ApiError::unknown("the form cannot be read"))?;
    if !app.accounts.is_registration_token_valid(&token).await? {
        let again = FORM.replace(PROBLEM, WRONG);
        return Ok(page(&app, StatusCode::UNAUTHORIZED, &again));
    }
    if !app.uia.done_elsewhere(&session, token_stage(token)) {
        return Err(unknown_session());
    }
    Ok(done_page(&app))
}

/// A form is sent as a query is written.
fn filled(body: &[u8]) -> Option<Filled> {
    let query = std::str::from_utf8(body).ok()?;
    let uri = Uri::try_from(format!("/?{query}")).ok()?;
    Query::<Filled>::try_from_uri(&uri).ok().map(|Query(filled)| filled)
}

/// The open session that the page is for.
fn session(app: &App, params: &PathParams, parts: &Parts) -> Result<String, ApiError> {
    let kind = params.iter().next().map_or("", |(_, value)| value);
    let is_served = kind == AuthType::RegistrationToken.as_str()
        && app.accounts.settings().registration == RegistrationMode::Token;
    if !is_served {
        return Err(ApiError::unrecognized());
    }
    open_session(app, parts)
}

fn open_session(app: &App, parts: &Parts) -> Result<String, ApiError> {
    let Query(query) = Query::<Parameters>::try_from_uri(&parts.uri)
        .map_err(|_| ApiError::invalid_param("the query cannot be read"))?;
    let session = query.session.ok_or_else(|| ApiError::missing_param("session"))?;
    if app.uia.is_open(&session) { Ok(session) } else { Err(unknown_session()) }
}

fn unknown_session() -> ApiError {
    ApiError::invalid_param("this authentication session is not known")
}

/// A page that runs its own script and nothing else.
fn page(app: &App, status: StatusCode, html: &str) -> Response {
    let nonce = app.data.env().random_text::<18>();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = (status, Html(html.replace("{nonce}", &nonce))).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // The address holds the session.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
