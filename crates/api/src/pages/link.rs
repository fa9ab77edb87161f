//! Connecting a device that shows a code (RFC 8628, section 3.3).

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{Browser, normal_user_code};
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit, consent,
    forms::{self, Field},
    layout, redirect, serve,
};
use crate::{App, limits::Kind};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/link", show);
    serve(router, Method::POST, "/account/link", decide)
}

const PATH: &str = "/account/link";

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    match visit.query.get("code") {
        Some(code) => confirm(&visit, browser, code).await,
        None => Ok(page(&visit, StatusCode::OK, "", None)),
    }
}

async fn decide(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let (typed, code) = (visit.form.text("code"), visit.query.text("code"));
    let approve = match visit.form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        // A code was typed: show what it is for, in a page of its own address.
        _ => return Ok(typed_code(&visit, typed)),
    };
    visit.count(Kind::Login, 1.0)?;
    let (user, origin) = (&browser.user_id, browser.origin.as_ref());
    if !visit.app.accounts.decide_device_grant(user, code, approve, origin).await? {
        return Ok(unknown(&visit, code));
    }
    let (title, text) = if approve {
        let title = visit.t("Gerät verbunden", "Device connected");
        (title, visit.t("Es geht auf dem anderen Gerät weiter.", "Continue on the other device."))
    } else {
        let title = visit.t("Abgelehnt", "Denied");
        (title, visit.t("Das Gerät bekommt keinen Zugriff.", "The device does not get access."))
    };
    Ok(layout::page(&visit, StatusCode::OK, title, &forms::done(text)))
}

fn typed_code(visit: &Visit, typed: &str) -> Response {
    match normal_user_code(typed) {
        Some(code) => redirect(&visit.link(PATH, &[("code", &code)])),
        None => unknown(visit, typed),
    }
}

async fn confirm(visit: &Visit, browser: &Browser, code: &str) -> Result<Response, Problem> {
    // Codes can be guessed, if often enough.
    visit.count(Kind::Login, 1.0)?;
    let accounts = &visit.app.accounts;
    let Some(grant) = accounts.pending_device_grant(code).await? else {
        return Ok(unknown(visit, code));
    };
    let existing = accounts.device(&browser.user_id, &grant.scope.device_id).await?;
    Ok(consent::device_page(visit, browser, &grant, existing.as_ref()))
}

fn unknown(visit: &Visit, typed: &str) -> Response {
    let why = visit.t(
        "Diesen Code gibt es nicht, oder er ist zu alt. Lassen Sie sich auf dem anderen Gerät einen \
         neuen zeigen.",
        "There is no such code, or it is too old. Let the other device show a new one.",
    );
    page(visit, StatusCode::NOT_FOUND, typed, Some(why))
}

fn page(visit: &Visit, status: StatusCode, typed: &str, why: Option<&str>) -> Response {
    let typed: String = typed.chars().take(20).collect();
    let form = html! {
        (Field {
            name: "code",
            label: visit.t("Code vom anderen Gerät", "Code from the other device"),
            kind: "text",
            autocomplete: "one-time-code",
            value: &typed,
            hint: Some(visit.t("Acht Buchstaben, etwa BCDF-GHJK", "Eight letters, such as BCDF-GHJK")),
            is_wrong: why.is_some(),
        }.show())
        (forms::submit(visit.t("Weiter", "Continue")))
    };
    let body = html! {
        (forms::error(why))
        (forms::form(visit, PATH, &form))
    };
    layout::page(visit, status, visit.t("Gerät verbinden", "Connect a device"), &body)
}
