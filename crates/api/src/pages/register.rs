//! Making an account (spec: client-server API, "User registration").

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{AccountsError, Registration, RegistrationMode, Secret};
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit,
    forms::{self, Field},
    layout, redirect, serve,
};
use crate::{App, limits::Kind};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/register", show);
    serve(router, Method::POST, "/account/register", make)
}

/// Which field an error concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Name,
    Password,
    Token,
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    if visit.browser.is_some() {
        return Ok(redirect(visit.next()));
    }
    if visit.app.accounts.settings().registration == RegistrationMode::Closed {
        return Err(AccountsError::RegistrationClosed.into());
    }
    Ok(page(&visit, StatusCode::OK, Wrong::Nothing, None))
}

async fn make(visit: Arc<Visit>) -> Result<Response, Problem> {
    let form = &visit.form;
    if form.text("password") != form.text("repeat") {
        let why = differ(&visit);
        return Ok(page(&visit, StatusCode::BAD_REQUEST, Wrong::Password, Some(why)));
    }
    match account(&visit).await {
        Ok(cookie) => Ok(visit.with_browser(redirect(visit.next()), Some(&cookie))),
        Err(problem) => {
            let wrong = match &problem {
                Problem::Accounts(
                    AccountsError::WeakPassword(_) | AccountsError::PasswordFlaw(_),
                ) => Wrong::Password,
                Problem::Accounts(AccountsError::AddressNeeded) => Wrong::Nothing,
                Problem::Accounts(AccountsError::WrongRegistrationToken) => Wrong::Token,
                Problem::Accounts(_) => Wrong::Name,
                Problem::Api(_) => Wrong::Nothing,
            };
            let (status, why) = problem.at_form(visit.lang)?;
            Ok(page(&visit, status, wrong, Some(&why)))
        }
    }
}

async fn account(visit: &Visit) -> Result<Secret, Problem> {
    visit.count(Kind::Registration, 1.0)?;
    let accounts = &visit.app.accounts;
    let form = &visit.form;
    let mut wanted = Registration {
        username: Some(form.text("name").trim().to_owned()),
        password: Some(Secret::new(form.text("password").to_owned())),
        ..Registration::default()
    };
    if accounts.settings().registration == RegistrationMode::Token {
        let token = form.text("token").trim();
        if !accounts.is_registration_token_valid(token).await? {
            return Err(AccountsError::WrongRegistrationToken.into());
        }
        wanted.token = Some(token.to_owned());
    }
    let made = accounts.register(wanted).await?;
    Ok(accounts.open_browser_as(&made.user_id).await?)
}

pub(super) fn differ(visit: &Visit) -> &str {
    visit.t("Die beiden Passwörter sind verschieden.", "The two passwords differ.")
}

/// What a new password needs.
pub(super) fn length_hint(visit: &Visit) -> String {
    let least = visit.app.accounts.settings().password_length_min;
    match visit.t("de", "en") {
        "de" => format!("Mindestens {least} Zeichen."),
        _ => format!("At least {least} characters."),
    }
}

fn page(visit: &Visit, status: StatusCode, wrong: Wrong, why: Option<&str>) -> Response {
    let next = visit.query.get("next").map_or("", |_| visit.next());
    let with_token = visit.app.accounts.settings().registration == RegistrationMode::Token;
    let name = match visit.form.text("name") {
        "" => visit.query.text("name"),
        typed => typed,
    };
    let hint = length_hint(visit);
    let form = html! {
        (Field {
            name: "name",
            label: visit.t("Gewünschter Benutzername", "User name"),
            kind: "text",
            autocomplete: "username",
            value: name,
            hint: None,
            is_wrong: wrong == Wrong::Name,
        }.show())
        (Field {
            hint: Some(&hint),
            is_wrong: wrong == Wrong::Password,
            ..Field::password("password", visit.t("Passwort", "Password"), "new-password")
        }.show())
        (Field {
            is_wrong: wrong == Wrong::Password,
            ..Field::password("repeat", visit.t("Passwort wiederholen", "Repeat the password"), "new-password")
        }.show())
        @if with_token {
            (Field {
                name: "token",
                label: visit.t("Einladungscode", "Registration token"),
                kind: "text",
                autocomplete: "off",
                value: visit.form.text("token"),
                hint: None,
                is_wrong: wrong == Wrong::Token,
            }.show())
        }
        (forms::submit(visit.t("Konto anlegen", "Create account")))
    };
    let body = html! {
        (forms::error(why))
        (forms::form(visit, &visit.link("/account/register", &[("next", next)]), &form))
        p {
            (visit.t("Sie haben schon ein Konto?", "You have an account already?")) " "
            a href=(visit.link("/account/login", &[("next", next)])) {
                (visit.t("Anmelden", "Sign in"))
            }
        }
    };
    layout::page(visit, status, visit.t("Konto anlegen", "Create an account"), &body)
}
