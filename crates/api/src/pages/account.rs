//! The account's front page, and the way to the others that clients send people
//! (spec: client-server API, "Account management URL actions").

use std::sync::Arc;

use axum::{Router, response::Response};
use http::{Method, StatusCode};
use maud::html;

use super::{Problem, Visit, emails, layout, redirect, serve};
use crate::App;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/", show);
    serve(router, Method::GET, "/account", |visit: Arc<Visit>| async move {
        Ok(redirect(&visit.link("/account/", &[])))
    })
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    if let Some(page) = visit.query.get("action").and_then(page_of) {
        let device = visit.query.text("device_id");
        let device = if page.ends_with("session") { device } else { "" };
        return Ok(redirect(&visit.link(page, &[("device_id", device)])));
    }
    if visit.browser.is_none() {
        return Ok(visit.to_login());
    }
    let pages = [
        (
            "/account/profile",
            visit.t("Profil", "Profile"),
            visit.t("Ihr Anzeigename", "Your display name"),
        ),
        (
            "/account/sessions",
            visit.t("Sitzungen", "Sessions"),
            visit.t(
                "Wo Sie angemeldet sind, und abmelden",
                "Where you are signed in, and signing out",
            ),
        ),
        (
            "/account/link",
            visit.t("Gerät verbinden", "Connect a device"),
            visit.t("Mit dem Code, den es zeigt", "With the code it shows"),
        ),
        (
            emails::PATH,
            visit.t("E-Mail-Adressen", "Mail addresses"),
            visit.t(
                "Zum Anmelden und für ein vergessenes Passwort",
                "For signing in and for a forgotten password",
            ),
        ),
        (
            "/account/password",
            visit.t("Passwort", "Password"),
            visit.t("Ein neues Passwort wählen", "Choose a new password"),
        ),
        (
            "/account/cross-signing",
            visit.t("Digitale Identität zurücksetzen", "Reset your cryptographic identity"),
            visit.t(
                "Wenn alle Geräte und Schlüssel verloren sind",
                "If all devices and keys are lost",
            ),
        ),
        (
            "/account/deactivate",
            visit.t("Konto schließen", "Close the account"),
            visit.t("Für immer", "For good"),
        ),
    ];
    let body = html! {
        ul.list {
            @for (path, name, about) in pages {
                li {
                    a href=(path) { (name) }
                    p.hint { (about) }
                }
            }
        }
    };
    Ok(layout::page(&visit, StatusCode::OK, visit.t("Ihr Konto", "Your account"), &body))
}

/// Pure. The page for an action, in the names of the specification and of MSC4191.
fn page_of(action: &str) -> Option<&'static str> {
    Some(match action.strip_prefix("org.matrix.").or(action.strip_prefix("m."))? {
        "profile" => "/account/profile",
        "devices_list" | "sessions_list" => "/account/sessions",
        "device_view" | "session_view" => "/account/session",
        "device_delete" | "session_end" => "/account/end-session",
        "account_deactivate" => "/account/deactivate",
        "cross_signing_reset" => "/account/cross-signing",
        _ => return None,
    })
}
