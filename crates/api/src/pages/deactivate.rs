//! Closing an account for good.

use std::sync::Arc;

use axum::{Router, response::Response};
use http::{Method, StatusCode};
use maud::html;

use super::{
    Problem, Visit, forms, layout,
    proof::{self, Asked},
    serve,
};
use crate::{App, client::account::close_account};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/deactivate", show);
    serve(router, Method::POST, "/account/deactivate", close)
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    Ok(match proof::ask(&visit).await? {
        Ok(asked) => page(&visit, &asked, StatusCode::OK, None),
        Err(instead) => instead,
    })
}

async fn close(visit: Arc<Visit>) -> Result<Response, Problem> {
    let asked = match proof::ask(&visit).await? {
        Ok(asked) => asked,
        Err(instead) => return Ok(instead),
    };
    if visit.form.get("sure").is_none() {
        let why = visit.t(
            "Bitte bestätigen Sie, dass Sie das Konto schließen wollen.",
            "Please confirm that you want to close the account.",
        );
        return Ok(page(&visit, &asked, StatusCode::BAD_REQUEST, Some(why)));
    }
    if let Err((status, why)) = asked.check(&visit).await? {
        return Ok(page(&visit, &asked, status, Some(&why)));
    }
    close_account(&visit.app, &asked.browser.user_id, visit.form.get("erase").is_some()).await?;
    let title = visit.t("Konto geschlossen", "Account closed");
    let text = visit.t("Ihr Konto ist geschlossen.", "Your account is closed.");
    let response = super::message(&visit.signed_out(), StatusCode::OK, title, text, None);
    Ok(visit.with_browser(response, None))
}

fn page(visit: &Visit, asked: &Asked<'_>, status: StatusCode, why: Option<&str>) -> Response {
    let form = html! {
        (asked.field(visit, why))
        div.choice {
            input #field-erase type="checkbox" name="erase" value="1";
            label for="field-erase" {
                (visit.t(
                    "Meine Nachrichten vor allen verbergen, die später in die Räume kommen",
                    "Hide my messages from everybody who comes into the rooms later",
                ))
            }
        }
        div.choice {
            input #field-sure type="checkbox" name="sure" value="1" required;
            label for="field-sure" {
                (visit.t(
                    "Ich will mein Konto für immer schließen.",
                    "I want to close my account for good.",
                ))
            }
        }
        p { button.danger type="submit" { (visit.t("Konto schließen", "Close the account")) } }
    };
    let body = html! {
        (forms::error(why))
        p {
            (visit.t(
                "Sie verlassen alle Räume, alle Anwendungen werden abgemeldet, und niemand kann den \
                 Namen je wieder benutzen. Das lässt sich nicht rückgängig machen.",
                "You leave all rooms, all applications are signed out, and nobody can ever use the \
                 name again. This cannot be undone.",
            ))
        }
        (forms::form(visit, "/account/deactivate", &form))
    };
    layout::page(visit, status, visit.t("Konto schließen", "Close the account"), &body)
}
