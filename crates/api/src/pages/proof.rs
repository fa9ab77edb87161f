//! Showing once more that it is you, on the page of something that cannot be taken back: by the
//! password, or at the identity provider that knows you.

use std::num::NonZeroUsize;

use axum::response::Response;
use blaupause_accounts::Browser;
use blaupause_data::Env;
use http::StatusCode;
use lru::LruCache;
use maud::{Markup, html};
use parking_lot::Mutex;
use ruma::UserId;

use super::{Problem, Visit, confirm, forms::Field, layout, sso};

/// A proof is good for so long, in milliseconds: to read the page and decide.
const PROOF_MS: u64 = 5 * 60 * 1000;
/// Proofs kept in memory; a restart asks again.
const PROOFS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// Who showed at an identity provider, in which browser, until when it counts that it is them.
pub(crate) struct Proofs {
    env: Env,
    kept: Mutex<LruCache<[u8; 32], u64>>,
}

impl Proofs {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, kept: Mutex::new(LruCache::new(PROOFS_MAX)) }
    }
}

/// Remember that somebody has just shown who they are in this browser.
pub(super) fn remember(visit: &Visit, user: &UserId) {
    let proofs = &visit.app.proofs;
    let until = proofs.env.now_millis().saturating_add(PROOF_MS);
    proofs.kept.lock().put(visit.browser_mark(user), until);
}

fn has_shown(visit: &Visit, user: &UserId) -> bool {
    let proofs = &visit.app.proofs;
    let until = proofs.kept.lock().get(&visit.browser_mark(user)).copied();
    until.is_some_and(|until| until > proofs.env.now_millis())
}

/// Who is asked, and how.
pub(super) struct Asked<'v> {
    pub browser: &'v Browser,
    by_password: bool,
}

/// Who may use a page that wants a proof; the inner error is the page that they see instead.
pub(super) async fn ask(visit: &Visit) -> Result<Result<Asked<'_>, Response>, Problem> {
    let Some(browser) = &visit.browser else { return Ok(Err(visit.to_login())) };
    if browser.has_password {
        return Ok(Ok(Asked { browser, by_password: true }));
    }
    if has_shown(visit, &browser.user_id) {
        return Ok(Ok(Asked { browser, by_password: false }));
    }
    let providers = visit.app.sso.providers_of(&browser.user_id).await;
    let providers = providers.map_err(crate::ApiError::from)?;
    if providers.is_empty() {
        return Ok(Err(without_password(visit)));
    }
    let links: Vec<_> = providers
        .iter()
        .map(|provider| {
            (provider.name.as_str(), confirm::page_link(visit, &sso::path(&provider.id)))
        })
        .collect();
    Ok(Err(first_confirm(visit, &links)))
}

/// Who may not use a page that is about the password.
pub(super) enum Outside {
    Nobody,
    WithoutPassword,
}

impl Outside {
    /// What they see instead.
    pub(super) fn page(&self, visit: &Visit) -> Response {
        match self {
            Self::Nobody => visit.to_login(),
            Self::WithoutPassword => without_password(visit),
        }
    }
}

/// Who is signed in and has a password here.
pub(super) fn with_password(visit: &Visit) -> Result<&Browser, Outside> {
    let browser = visit.browser.as_ref().ok_or(Outside::Nobody)?;
    if browser.has_password { Ok(browser) } else { Err(Outside::WithoutPassword) }
}

fn without_password(visit: &Visit) -> Response {
    let title = visit.t("Kein Passwort", "No password");
    let text = visit.t(
        "Für Ihr Konto gibt es hier kein Passwort. Bitte wenden Sie sich an Ihre Administration.",
        "There is no password for your account here. Please contact your administrators.",
    );
    super::message(visit, StatusCode::FORBIDDEN, title, text, None)
}

fn first_confirm(visit: &Visit, links: &[(&str, String)]) -> Response {
    let body = html! {
        p {
            (visit.t(
                "Bitte zeigen Sie zuerst noch einmal, dass Sie es sind. Danach geht es hier weiter.",
                "Please show first that it is you. You come back here afterwards.",
            ))
        }
        (buttons(visit, links))
    };
    let title = visit.t("Bitte bestätigen", "Please confirm");
    layout::page(visit, StatusCode::OK, title, &body)
}

/// Links to providers, by their names.
pub(super) fn buttons(visit: &Visit, links: &[(&str, String)]) -> Markup {
    html! {
        @for (name, link) in links {
            p {
                a.button href=(link) { (visit.t("Bestätigen mit", "Confirm with")) " " (name) }
            }
        }
    }
}

impl Asked<'_> {
    /// The field for the proof, if one is needed.
    pub(super) fn field(&self, visit: &Visit, why: Option<&str>) -> Markup {
        html! { @if self.by_password { (password(visit.t("Passwort", "Password"), why.is_some())) } }
    }

    /// Check what was typed. The inner error is what to say beside the form, and its status.
    pub(super) async fn check(
        &self,
        visit: &Visit,
    ) -> Result<Result<(), (StatusCode, String)>, Problem> {
        if !self.by_password {
            return Ok(Ok(()));
        }
        let typed = visit.form.text("password");
        match visit.check_password(&self.browser.user_id, typed).await {
            Ok(()) => Ok(Ok(())),
            Err(problem) => problem.at_form(visit.lang).map(Err),
        }
    }
}

/// The field for the password that somebody has.
pub(super) fn password(label: &str, is_wrong: bool) -> Markup {
    Field { is_wrong, ..Field::password("password", label, "current-password") }.show()
}
