//! A new password.

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{AccountsError, Browser, Secret};
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit,
    forms::{self, Field},
    layout, proof, redirect,
    register::{differ, length_hint},
    serve,
};
use crate::{App, client::device::remove_devices};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/password", show);
    serve(router, Method::POST, "/account/password", change)
}

/// Which field an error concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Old,
    New,
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    Ok(match proof::with_password(&visit) {
        Ok(_) => page(&visit, StatusCode::OK, Wrong::Nothing, None),
        Err(outside) => outside.page(&visit),
    })
}

async fn change(visit: Arc<Visit>) -> Result<Response, Problem> {
    let browser = match proof::with_password(&visit) {
        Ok(browser) => browser,
        Err(outside) => return Ok(outside.page(&visit)),
    };
    if visit.form.text("new") != visit.form.text("repeat") {
        let why = differ(&visit);
        return Ok(page(&visit, StatusCode::BAD_REQUEST, Wrong::New, Some(why)));
    }
    match set(&visit, browser).await {
        // The forms of a page are bound to the cookie, so the next page is loaded with the new one.
        Ok(cookie) => Ok(visit.with_browser(redirect("/account/password?done=1"), Some(&cookie))),
        Err(problem) => {
            let wrong = match &problem {
                Problem::Accounts(
                    AccountsError::WeakPassword(_) | AccountsError::PasswordFlaw(_),
                ) => Wrong::New,
                Problem::Accounts(_) => Wrong::Old,
                Problem::Api(_) => Wrong::Nothing,
            };
            let (status, why) = problem.at_form(visit.lang)?;
            Ok(page(&visit, status, wrong, Some(&why)))
        }
    }
}

/// Every browser is signed out by this; the one it is done in gets a new cookie.
async fn set(visit: &Visit, browser: &Browser) -> Result<Secret, Problem> {
    let (user, accounts) = (&browser.user_id, &visit.app.accounts);
    let new = visit.form.text("new");
    accounts.check_new_password(new)?;
    visit.check_password(user, visit.form.text("password")).await?;
    accounts.set_password(user, Secret::new(new.to_owned())).await?;
    if visit.form.get("everywhere").is_some() {
        let devices = accounts.devices(user).await?;
        let devices: Vec<_> = devices.into_iter().map(|device| device.device_id).collect();
        remove_devices(&visit.app, user, &devices).await?;
    }
    Ok(accounts.open_browser_as(user).await?)
}

fn page(visit: &Visit, status: StatusCode, wrong: Wrong, why: Option<&str>) -> Response {
    let hint = length_hint(visit);
    let user = visit.browser.as_ref().map_or("", |browser| browser.user_id.as_str());
    let form = html! {
        // For password managers.
        input type="text" name="name" value=(user) autocomplete="username" hidden readonly
            aria-hidden="true" tabindex="-1";
        (proof::password(visit.t("Bisheriges Passwort", "Current password"), wrong == Wrong::Old))
        (Field {
            hint: Some(&hint),
            is_wrong: wrong == Wrong::New,
            ..Field::password("new", visit.t("Neues Passwort", "New password"), "new-password")
        }.show())
        (Field {
            is_wrong: wrong == Wrong::New,
            ..Field::password("repeat", visit.t("Neues Passwort wiederholen", "Repeat the new password"), "new-password")
        }.show())
        div.choice {
            input #field-everywhere type="checkbox" name="everywhere" value="1";
            label for="field-everywhere" {
                (visit.t("Alle Anwendungen abmelden", "Sign out all applications"))
            }
        }
        (forms::submit(visit.t("Passwort ändern", "Change password")))
    };
    let body = html! {
        (forms::error(why))
        @if why.is_none() && visit.query.get("done").is_some() {
            (forms::done(visit.t("Das neue Passwort gilt ab jetzt.", "The new password is valid from now on.")))
        }
        (forms::form(visit, "/account/password", &form))
    };
    layout::page(visit, status, visit.t("Passwort ändern", "Change password"), &body)
}
