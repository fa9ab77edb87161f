//! Letting a client replace the cross-signing keys (spec: client-server API, "OAuth
//! authentication").

use std::sync::Arc;

use axum::{Router, response::Response};
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit,
    forms::{self, Field},
    layout, password, serve,
};
use crate::App;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/cross-signing", show);
    serve(router, Method::POST, "/account/cross-signing", allow)
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    if !browser.has_password {
        return Ok(password::without_password(&visit));
    }
    Ok(page(&visit, StatusCode::OK, None))
}

async fn allow(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let user = &browser.user_id;
    if let Err(problem) = visit.check_password(user, visit.form.text("password")).await {
        let (status, why) = problem.at_form(visit.lang)?;
        return Ok(page(&visit, status, Some(&why)));
    }
    visit.app.accounts.allow_reset(user).await?;
    let title = visit.t("Zurücksetzen erlaubt", "Reset allowed");
    let text = visit.t(
        "Kehren Sie innerhalb von zehn Minuten in die Anwendung zurück, um es abzuschließen.",
        "Go back to the application within ten minutes to finish.",
    );
    Ok(layout::page(&visit, StatusCode::OK, title, &forms::done(text)))
}

fn page(visit: &Visit, status: StatusCode, why: Option<&str>) -> Response {
    let form = html! {
        (Field {
            is_wrong: why.is_some(),
            ..Field::password("password", visit.t("Passwort", "Password"), "current-password")
        }.show())
        p { button.danger type="submit" { (visit.t("Zurücksetzen erlauben", "Allow the reset")) } }
    };
    let body = html! {
        (forms::error(why))
        p {
            (visit.t(
                "Tun Sie das nur, wenn Sie kein anderes angemeldetes Gerät mehr haben und Ihr \
                 Wiederherstellungsschlüssel verloren ist. Andere müssen Sie danach neu überprüfen, \
                 und ältere Nachrichten können verloren sein.",
                "Do this only if you have no other signed-in device and your recovery key is lost. \
                 Others must verify you again afterwards, and older messages may be lost.",
            ))
        }
        p {
            (visit.t(
                "Haben Sie das nicht selbst in einer Anwendung begonnen, schließen Sie diese Seite.",
                "If you did not start this in an application yourself, close this page.",
            ))
        }
        (forms::form(visit, "/account/cross-signing", &form))
    };
    let title = visit.t("Digitale Identität zurücksetzen", "Reset your cryptographic identity");
    layout::page(visit, status, title, &body)
}
