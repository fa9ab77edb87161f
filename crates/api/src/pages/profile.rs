//! How others see a person.

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::Profile;
use http::{Method, StatusCode};
use maud::html;
use ruma::profile::ProfileFieldName;

use super::{
    Problem, Visit,
    forms::{self, Field},
    layout, serve,
};
use crate::App;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/profile", show);
    serve(router, Method::POST, "/account/profile", change)
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let profile = visit.app.accounts.profile(&browser.user_id).await?;
    let name = profile.as_ref().and_then(Profile::display_name).unwrap_or_default();
    Ok(page(&visit, StatusCode::OK, name, Said::Nothing))
}

async fn change(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let name = visit.form.text("display_name").trim();
    if browser.is_suspended {
        let why = visit.t(
            "Ihr Konto ist eingeschränkt: Das Profil kann nicht geändert werden.",
            "Your account is suspended: the profile cannot be changed.",
        );
        return Ok(page(&visit, StatusCode::FORBIDDEN, name, Said::Wrong(why)));
    }
    let field = ProfileFieldName::DisplayName;
    let value = serde_json::Value::from(name);
    match visit.app.accounts.set_profile_field(&browser.user_id, &field, &value).await {
        Ok(()) => Ok(page(&visit, StatusCode::OK, name, Said::Done)),
        Err(error) => {
            let (status, why) = Problem::from(error).at_form(visit.lang)?;
            Ok(page(&visit, status, name, Said::Wrong(&why)))
        }
    }
}

#[derive(Clone, Copy)]
enum Said<'s> {
    Nothing,
    Done,
    Wrong(&'s str),
}

fn page(visit: &Visit, status: StatusCode, name: &str, said: Said<'_>) -> Response {
    let why = match said {
        Said::Wrong(why) => Some(why),
        Said::Nothing | Said::Done => None,
    };
    let form = html! {
        (Field {
            name: "display_name",
            label: visit.t("Anzeigename", "Display name"),
            kind: "text",
            autocomplete: "name",
            value: name,
            hint: Some(visit.t("So sehen Sie andere in Räumen.", "This is what others see in rooms.")),
            is_wrong: why.is_some(),
        }.show())
        (forms::submit(visit.t("Speichern", "Save")))
    };
    let body = html! {
        (forms::error(why))
        @if matches!(said, Said::Done) { (forms::done(visit.t("Gespeichert.", "Saved."))) }
        (forms::form(visit, "/account/profile", &form))
    };
    layout::page(visit, status, visit.t("Profil", "Profile"), &body)
}
