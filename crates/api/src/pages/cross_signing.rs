//! Letting a client replace the cross-signing keys (spec: client-server API, "OAuth
//! authentication").

use std::sync::Arc;

use axum::{Router, response::Response};
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit, forms, layout,
    proof::{self, Asked},
    serve,
};
use crate::App;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/cross-signing", show);
    serve(router, Method::POST, "/account/cross-signing", allow)
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    Ok(match proof::ask(&visit).await? {
        Ok(asked) => page(&visit, &asked, StatusCode::OK, None),
        Err(instead) => instead,
    })
}

async fn allow(visit: Arc<Visit>) -> Result<Response, Problem> {
    let asked = match proof::ask(&visit).await? {
        Ok(asked) => asked,
        Err(instead) => return Ok(instead),
    };
    if let Err((status, why)) = asked.check(&visit).await? {
        return Ok(page(&visit, &asked, status, Some(&why)));
    }
    visit.app.accounts.allow_reset(&asked.browser.user_id).await?;
    let title = visit.t("Zurücksetzen erlaubt", "Reset allowed");
    let text = visit.t(
        "Kehren Sie innerhalb von zehn Minuten in die Anwendung zurück, um es abzuschließen.",
        "Go back to the application within ten minutes to finish.",
    );
    Ok(layout::page(&visit, StatusCode::OK, title, &forms::done(text)))
}

fn page(visit: &Visit, asked: &Asked<'_>, status: StatusCode, why: Option<&str>) -> Response {
    let form = html! {
        (asked.field(visit, why))
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
