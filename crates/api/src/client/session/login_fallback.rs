//! `GET /_matrix/static/client/login/`: a page that signs in for clients that cannot do it
//! themselves (spec: client-server API, "Login Fallback"). The specification wants JavaScript here:
//! the page calls a function of the client that shows it.

use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{App, pages::Language};

const PAGE: &str = include_str!("login_fallback.html");

pub(super) async fn login_fallback(State(app): State<App>, headers: HeaderMap) -> Response {
    let lang = Language::of_headers(&headers);
    let nonce = app.data.env().random_text::<18>();
    let html = PAGE
        .replace("{nonce}", &nonce)
        .replace("{lang}", lang.t("de", "en"))
        .replace("{title}", lang.t("Anmelden", "Sign in"))
        .replace("{name}", lang.t("Benutzername", "User name"))
        .replace("{password}", lang.t("Passwort", "Password"))
        .replace("{sso}", lang.t("Über die Anmeldeseite anmelden", "Sign in on the login page"))
        .replace("{done}", lang.t("Angemeldet.", "Signed in."))
        .replace(
            "{no_script}",
            lang.t("Diese Seite braucht JavaScript.", "This page needs JavaScript."),
        );
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = (StatusCode::OK, Html(html)).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // The address may hold a login token.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
