//! Where a person is signed in.

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{Browser, DeviceInfo};
use http::{Method, StatusCode};
use maud::{Markup, html};
use ruma::{DeviceId, OwnedDeviceId};

use super::{Problem, Visit, date, forms, layout, redirect, serve};
use crate::{App, client::device::remove_devices};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, "/account/sessions", list);
    let router = serve(router, Method::GET, "/account/session", view);
    let router = serve(router, Method::GET, "/account/end-session", ask);
    let router = serve(router, Method::POST, "/account/end-session", end);
    let router = serve(router, Method::GET, "/account/end-sessions", ask_all);
    serve(router, Method::POST, "/account/end-sessions", end_all)
}

/// Sessions shown on one page, the ones last used first.
const SHOWN_MAX: usize = 200;

async fn list(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let mut devices = visit.app.accounts.devices(&browser.user_id).await?;
    devices.sort_by_key(|device| {
        std::cmp::Reverse(device.last_seen.as_ref().map(|seen| u64::from(seen.at.get())))
    });
    let total = devices.len();
    devices.truncate(SHOWN_MAX);
    let body = html! {
        @if visit.query.get("done").is_some() {
            (forms::done(visit.t("Die Sitzung ist beendet.", "The session has ended.")))
        }
        @if devices.is_empty() {
            p { (visit.t("Keine Anwendung ist angemeldet.", "No application is signed in.")) }
        } @else {
            ul.list {
                @for device in &devices {
                    li {
                        h2 { (name(device)) }
                        (about(&visit, device))
                        p {
                            a href=(visit.link("/account/end-session", &[("device_id", device.device_id.as_str())]))
                                aria-label=(format!("{}: {}", visit.t("Abmelden", "Sign out"), name(device))) {
                                (visit.t("Abmelden", "Sign out"))
                            }
                        }
                    }
                }
            }
            @if total > devices.len() {
                p { (visit.t("Weitere Sitzungen, die länger nicht benutzt wurden:", "More sessions, not used lately:")) " " (total - devices.len()) }
            }
            p { a href="/account/end-sessions" { (visit.t("Überall abmelden", "Sign out everywhere")) } }
        }
    };
    Ok(layout::page(&visit, StatusCode::OK, visit.t("Sitzungen", "Sessions"), &body))
}

async fn view(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let Some(device) = wanted(&visit, browser).await? else { return Ok(unknown(&visit)) };
    let end = visit.link("/account/end-session", &[("device_id", device.device_id.as_str())]);
    let body = html! {
        (about(&visit, &device))
        p { a.button href=(end) { (visit.t("Abmelden", "Sign out")) } }
    };
    Ok(layout::page(&visit, StatusCode::OK, name(&device), &body))
}

async fn ask(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let Some(device) = wanted(&visit, browser).await? else { return Ok(unknown(&visit)) };
    let body = html! {
        (about(&visit, &device))
        p {
            (visit.t(
                "Nachrichten, deren Schlüssel nur dieses Gerät hat, können danach nicht mehr gelesen \
                 werden.",
                "Messages whose keys only this device has cannot be read afterwards.",
            ))
        }
        (decision(&visit))
    };
    let title = match visit.lang.t("de", "en") {
        "de" => format!("„{}“ abmelden?", name(&device)),
        _ => format!("Sign out “{}”?", name(&device)),
    };
    Ok(layout::page(&visit, StatusCode::OK, &title, &body))
}

async fn end(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let device: OwnedDeviceId = visit.query.text("device_id").into();
    remove_devices(&visit.app, &browser.user_id, &[device]).await?;
    Ok(redirect("/account/sessions?done=1"))
}

async fn ask_all(visit: Arc<Visit>) -> Result<Response, Problem> {
    if visit.browser.is_none() {
        return Ok(visit.to_login());
    }
    let body = html! {
        p {
            (visit.t(
                "Alle Anwendungen werden abgemeldet. Verschlüsselte Nachrichten können Sie danach nur \
                 lesen, wenn Sie Ihren Wiederherstellungsschlüssel haben.",
                "All applications are signed out. You can read encrypted messages afterwards only if \
                 you have your recovery key.",
            ))
        }
        (decision(&visit))
    };
    let title = visit.t("Überall abmelden?", "Sign out everywhere?");
    Ok(layout::page(&visit, StatusCode::OK, title, &body))
}

async fn end_all(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(browser) = &visit.browser else { return Ok(visit.to_login()) };
    let user = &browser.user_id;
    let devices = visit.app.accounts.devices(user).await?;
    let devices: Vec<_> = devices.into_iter().map(|device| device.device_id).collect();
    remove_devices(&visit.app, user, &devices).await?;
    Ok(redirect("/account/sessions?done=1"))
}

async fn wanted(visit: &Visit, browser: &Browser) -> Result<Option<DeviceInfo>, Problem> {
    let device: &DeviceId = visit.query.text("device_id").into();
    Ok(visit.app.accounts.device(&browser.user_id, device).await?)
}

fn unknown(visit: &Visit) -> Response {
    let title = visit.t("Keine solche Sitzung", "No such session");
    let body = html! {
        p {
            (visit.t("Vielleicht ist sie schon abgemeldet.", "Perhaps it is signed out already.")) " "
            a href="/account/sessions" { (visit.t("Alle Sitzungen", "All sessions")) }
        }
    };
    layout::page(visit, StatusCode::NOT_FOUND, title, &body)
}

fn decision(visit: &Visit) -> Markup {
    forms::form(
        visit,
        &visit.here(),
        &html! {
            div.buttons {
                button.danger type="submit" { (visit.t("Abmelden", "Sign out")) }
                a.button.quiet href="/account/sessions" { (visit.t("Abbrechen", "Cancel")) }
            }
        },
    )
}

fn name(device: &DeviceInfo) -> &str {
    device.display_name.as_deref().filter(|n| !n.is_empty()).unwrap_or(device.device_id.as_str())
}

fn about(visit: &Visit, device: &DeviceInfo) -> Markup {
    let lang = visit.lang;
    html! {
        dl {
            dt { (visit.t("Kennung", "Id")) }
            dd { code { (device.device_id.as_str()) } }
            dt { (visit.t("Angemeldet seit", "Signed in since")) }
            dd { (date::shown(device.created_ms, lang)) }
            @if let Some(seen) = &device.last_seen {
                dt { (visit.t("Zuletzt benutzt", "Last used")) }
                dd {
                    (date::shown(u64::from(seen.at.get()), lang))
                    @if let Some(address) = &seen.address { ", " (address) }
                }
            }
        }
    }
}
