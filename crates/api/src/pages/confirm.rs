//! A client wants a person without a password to show that it is them (spec: client-server API,
//! "Single Sign-On", as a stage of user-interactive authentication).
//!
//! Nobody is sent to a provider for this by a link of somebody else: the person is told on a page
//! of ours what they are about to confirm, and only its links carry the mark without which nothing
//! begins.

use std::{collections::HashMap, sync::Arc};

use axum::{Router, response::Response};
use blaupause_sso::Purpose;
use http::{Method, StatusCode};
use maud::html;
use ruma::api::client::uiaa::AuthType;

use super::{Problem, Visit, layout, proof, serve, sso};
use crate::{ApiError, App, client::uiaa, uia::Stage};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    serve(router, Method::GET, PATH, show)
}

/// The page's path.
pub(crate) const PATH: &str = "/account/confirm";
/// What the links of our pages carry.
const MARK: &str = "mark";
const SESSION: &str = "session";

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    let session = visit.query.text(SESSION);
    let Some(user) = visit.app.uia.owner(session) else { return Ok(unknown(&visit)) };
    let providers = visit.app.sso.providers_of(&user).await.map_err(ApiError::from)?;
    let mark = visit.mark(session);
    let links: Vec<_> = providers
        .iter()
        .map(|provider| {
            let query = [(SESSION, session), (MARK, mark.as_str())];
            (provider.name.as_str(), visit.link(&sso::path(&provider.id), &query))
        })
        .collect();
    let body = html! {
        p {
            (visit.t("Eine Anwendung, in der angemeldet ist:", "An application that is signed in as:"))
            " " strong { (user) }
        }
        p {
            (visit.t(
                "Sie will etwas tun, das Ihre Bestätigung braucht, etwa Geräte entfernen oder \
                 Schlüssel ersetzen.",
                "It wants to do something that needs your confirmation, such as removing devices or \
                 replacing keys.",
            ))
        }
        p.error {
            (visit.t(
                "Haben Sie das nicht gerade selbst begonnen, schließen Sie diese Seite.",
                "If you have not just started this yourself, close this page.",
            ))
        }
        (proof::buttons(&visit, &links))
    };
    let title = visit.t("Sind Sie es?", "Is it you?");
    Ok(layout::page(&visit, StatusCode::OK, title, &body))
}

/// The address of a provider to which a page of ours leads for a proof.
pub(super) fn page_link(visit: &Visit, path: &str) -> String {
    visit.link(path, &[("next", &visit.here()), (MARK, &visit.mark("page"))])
}

/// What somebody goes to a provider for.
pub(super) enum Asked {
    SignIn,
    Proof(Purpose),
    /// For nothing that this browser was asked.
    Unknown,
}

/// What a visit to a provider is for.
pub(super) fn asked(visit: &Visit) -> Asked {
    let Some(mark) = visit.query.get(MARK) else { return Asked::SignIn };
    let session = visit.query.get(SESSION);
    if mark != visit.mark(session.unwrap_or("page")) {
        return Asked::Unknown;
    }
    let user = match session {
        Some(session) => visit.app.uia.owner(session),
        None => visit.browser.as_ref().map(|browser| browser.user_id.clone()),
    };
    let session = session.map(ToOwned::to_owned);
    user.map_or(Asked::Unknown, |user| Asked::Proof(Purpose::Prove { user, session }))
}

/// The person has shown it: the client may go on.
pub(super) fn done(visit: &Visit, session: &str) -> Response {
    let stage = Stage { kind: AuthType::Sso, facts: HashMap::new() };
    if visit.app.uia.done_elsewhere(session, stage) {
        uiaa::done_page(&visit.app)
    } else {
        unknown(visit)
    }
}

/// There is nothing to be confirmed.
pub(super) fn unknown(visit: &Visit) -> Response {
    let title = visit.t("Nichts zu bestätigen", "Nothing to confirm");
    let text = visit.t(
        "Die Anfrage der Anwendung ist zu alt oder schon erledigt. Bitte beginnen Sie dort noch \
         einmal.",
        "The application's request is too old or already done. Please start again there.",
    );
    super::message(visit, StatusCode::NOT_FOUND, title, text, None)
}
