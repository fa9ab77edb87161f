//! Signing in to the pages, and out.

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::RegistrationMode;
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit,
    forms::{self, Field},
    layout, redirect, serve, sso,
};
use crate::App;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/login", show);
    let router = serve(router, Method::POST, "/account/login", sign_in);
    serve(router, Method::POST, "/account/logout", sign_out)
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    if visit.browser.is_some() {
        return Ok(redirect(visit.next()));
    }
    let name = visit.query.text("name");
    Ok(page(&visit, StatusCode::OK, name, None))
}

async fn sign_in(visit: Arc<Visit>) -> Result<Response, Problem> {
    let (name, password) = (visit.form.text("name").trim(), visit.form.text("password"));
    match visit.sign_in(name, password).await {
        Ok(cookie) => {
            // Whoever was signed in here before is not any more.
            visit.sign_out().await?;
            Ok(visit.with_browser(redirect(visit.next()), Some(&cookie)))
        }
        Err(problem) => {
            let (status, why) = problem.at_form(visit.lang)?;
            Ok(page(&visit, status, name, Some(&why)))
        }
    }
}

async fn sign_out(visit: Arc<Visit>) -> Result<Response, Problem> {
    visit.sign_out().await?;
    let next = visit.query.get("next").map_or("", |_| visit.next());
    let login = visit.link("/account/login", &[("next", next)]);
    Ok(visit.with_browser(redirect(&login), None))
}

fn page(visit: &Visit, status: StatusCode, name: &str, why: Option<&str>) -> Response {
    let next = visit.query.get("next").map_or("", |_| visit.next());
    let action = visit.link("/account/login", &[("next", next)]);
    let is_wrong = why.is_some();
    let settings = visit.app.accounts.settings();
    let has_providers = !visit.app.sso.providers().is_empty();
    let form = html! {
        (Field {
            name: "name",
            label: visit.t("Benutzername", "User name"),
            kind: "text",
            autocomplete: "username",
            value: name,
            hint: None,
            is_wrong,
        }.show())
        (Field {
            is_wrong,
            ..Field::password("password", visit.t("Passwort", "Password"), "current-password")
        }.show())
        (forms::submit(visit.t("Anmelden", "Sign in")))
    };
    let is_open = settings.registration != RegistrationMode::Closed && settings.password_login;
    let body = html! {
        (forms::error(why))
        (sso::choices(visit, next))
        @if has_providers && settings.password_login {
            h2 { (visit.t("Oder mit Passwort", "Or with a password")) }
        }
        @if settings.password_login || !has_providers {
            (forms::form(visit, &action, &form))
        }
        @if is_open {
            p {
                (visit.t("Noch kein Konto?", "No account yet?")) " "
                a href=(visit.link("/account/register", &[("next", next)])) {
                    (visit.t("Konto anlegen", "Create an account"))
                }
            }
        }
    };
    layout::page(visit, status, visit.t("Anmelden", "Sign in"), &body)
}
