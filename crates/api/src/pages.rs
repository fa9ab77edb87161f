//! The pages that people see: signing in, consent, their account (spec: client-server API,
//! "Account management"). Plain HTML that works without JavaScript, in German and English.
//!
//! A page is a function from a [`Visit`] to a response. Whoever writes one need not think of
//! cookies, languages, forged forms or headers: [`serve`] reads a visit, refuses forms that were
//! not made for this browser, and puts the headers on.

mod account;
pub(crate) mod confirm;
pub(crate) mod consent;
mod cross_signing;
mod date;
mod deactivate;
mod email;
mod emails;
mod forms;
mod language;
mod layout;
mod link;
mod login;
mod password;
mod problem;
mod profile;
mod proof;
mod register;
mod sessions;
mod sso;
pub(crate) mod to_client;
mod visit;

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use maud::{Markup, html};

use crate::{App, Serve};

pub(crate) use language::Language;
pub(crate) use problem::Problem;
pub(crate) use proof::Proofs;
pub(crate) use visit::Visit;

const STYLE: &str = include_str!("pages/style.css");

pub(crate) fn routes(mut router: Router<App>) -> Router<App> {
    for area in [
        account::routes,
        confirm::routes,
        cross_signing::routes,
        deactivate::routes,
        emails::routes,
        link::routes,
        login::routes,
        password::routes,
        profile::routes,
        register::routes,
        sessions::routes,
        sso::routes,
        to_client::routes,
    ] {
        router = area(router);
    }
    router
}

/// The page behind the links in mails.
pub(crate) fn mail_routes(router: Router<App>) -> Router<App> {
    email::routes(router)
}

/// What all pages need.
pub(crate) fn common_routes(router: Router<App>) -> Router<App> {
    router.serve_raw(Method::GET, "/account/style.css", style)
}

/// Serve a page.
pub(crate) fn serve<H, F>(
    router: Router<App>,
    method: Method,
    path: &str,
    handler: H,
) -> Router<App>
where
    H: Fn(Arc<Visit>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let answer = move |State(app): State<App>, request: Request<Body>| async move {
        let visit = match Visit::read(app, request).await {
            Ok(visit) => Arc::new(visit),
            Err(refused) => return refused,
        };
        let response = match handler(Arc::clone(&visit)).await {
            Ok(response) => response,
            Err(problem) => problem.page(&visit),
        };
        visit.with_cookies(response)
    };
    router.serve_raw(method, path, answer)
}

async fn style() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let keep = HeaderValue::from_static("public, max-age=3600");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], STYLE).into_response()
}

/// Send the browser elsewhere, with GET.
pub(crate) fn redirect(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        // Addresses are ASCII by then.
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// A page that says one thing, perhaps with a detail for whoever can do something about it.
pub(crate) fn message(
    visit: &Visit,
    status: StatusCode,
    title: &str,
    text: &str,
    detail: Option<&str>,
) -> Response {
    let body: Markup = html! {
        p { (text) }
        @if let Some(detail) = detail {
            p.detail { (visit.t("Einzelheit:", "Detail:")) " " code { (detail) } }
        }
    };
    layout::page(visit, status, title, &body)
}
