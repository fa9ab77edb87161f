//! Signing in to a client that does not speak OAuth (spec: client-server API, "SSO client
//! login/authentication"): the browser is sent back to it with a login token.

use std::sync::Arc;

use axum::{Router, response::Response};
use blaupause_accounts::{Browser, RegistrationMode};
use http::{Method, StatusCode};
use maud::html;
use url::Url;

use super::{Problem, Visit, consent, consent::Target, forms, layout, redirect, serve, sso};
use crate::{App, limits::Kind};

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let router = serve(router, Method::GET, PATH, show);
    serve(router, Method::POST, PATH, go)
}

/// The page's path.
pub(crate) const PATH: &str = "/account/continue";
/// Bytes of an address to which somebody is sent back.
const RETURN_BYTES_MAX: usize = 2_000;
/// What browsers do with these is no way back to a client.
const BAD_SCHEMES: [&str; 8] =
    ["javascript", "data", "vbscript", "blob", "about", "file", "filesystem", "view-source"];

/// Pure. The client's address, if a browser can be sent there.
pub(crate) fn return_address(text: &str) -> Option<Url> {
    let is_plain = text.len() <= RETURN_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    let url = is_plain.then(|| Url::parse(text).ok()).flatten()?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let is_web = matches!(url.scheme(), "http" | "https");
    let is_good = !BAD_SCHEMES.contains(&url.scheme())
        && (!is_web || has_host)
        && url.username().is_empty()
        && url.password().is_none();
    is_good.then_some(url)
}

/// Pure. Whether the operator trusts the client at this address, so that nobody needs to be asked:
/// the same origin, and a path that begins like theirs.
fn is_trusted(url: &Url, trusted: &[Url]) -> bool {
    trusted.iter().any(|one| {
        let same_place = (one.scheme(), one.host_str(), one.port_or_known_default())
            == (url.scheme(), url.host_str(), url.port_or_known_default());
        let path = one.path().trim_end_matches('/');
        let rest = url.path().strip_prefix(path);
        same_place && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

async fn show(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(to) = return_address(visit.query.text("redirect")) else { return Ok(bad(&visit)) };
    let Some(browser) = &visit.browser else { return Ok(to_sign_in(&visit)) };
    if is_trusted(&to, &visit.app.settings.trusted_clients) {
        return leave(&visit, browser, to).await;
    }
    Ok(page(&visit, browser, &to))
}

async fn go(visit: Arc<Visit>) -> Result<Response, Problem> {
    let Some(to) = return_address(visit.query.text("redirect")) else { return Ok(bad(&visit)) };
    let Some(browser) = &visit.browser else { return Ok(to_sign_in(&visit)) };
    leave(&visit, browser, to).await
}

/// To a provider if the client named one, else to the choice.
fn to_sign_in(visit: &Visit) -> Response {
    let here = visit.here();
    if let Some(provider) = visit.query.get("provider") {
        return redirect(&visit.link(&sso::path(provider), &[("next", &here)]));
    }
    let is_open = visit.app.accounts.settings().registration != RegistrationMode::Closed;
    if visit.query.get("action") == Some("register") && is_open {
        return redirect(&visit.link("/account/register", &[("next", &here)]));
    }
    visit.to_login()
}

async fn leave(visit: &Visit, browser: &Browser, mut to: Url) -> Result<Response, Problem> {
    visit.count(Kind::Login, 1.0)?;
    let accounts = &visit.app.accounts;
    let token = accounts.login_token(&browser.user_id, browser.origin.as_ref()).await?;
    let kept: Vec<(String, String)> = to
        .query_pairs()
        .filter(|(name, _)| name != "loginToken")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    to.query_pairs_mut().clear().extend_pairs(kept).append_pair("loginToken", token.token.reveal());
    Ok(redirect(to.as_str()))
}

fn page(visit: &Visit, browser: &Browser, to: &Url) -> Response {
    let target = Target::of(to.as_str());
    let body = html! {
        p {
            (visit.t("Eine Anwendung will Zugriff auf Ihr Konto:", "An application wants access to your account:"))
            " " strong { (browser.user_id) }
        }
        p { (target.name(visit)) }
        p { (target.text(visit)) }
        (forms::form(visit, &visit.here(), &html! {
            p { button type="submit" { (visit.t("Weiter", "Continue")) } }
        }))
        (consent::another_account(visit))
    };
    let title = visit.t("In der Anwendung anmelden?", "Sign in to the application?");
    let leads_to = target.source();
    layout::page_leading_to(visit, StatusCode::OK, title, &body, leads_to.as_deref())
}

fn bad(visit: &Visit) -> Response {
    let title = visit.t("Ungültige Anfrage", "Invalid request");
    let text = visit.t(
        "Die Anwendung hat nicht gesagt, wohin es danach weitergeht.",
        "The application did not say where to go on.",
    );
    super::message(visit, StatusCode::BAD_REQUEST, title, text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_to_clients_only() {
        for good in [
            "https://app.example.org/#/room",
            "http://localhost:8080/?x=1",
            "element://vector/webapp/",
            "io.element.desktop:/vector/webapp/?no_universal_links=true",
        ] {
            assert!(return_address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/account/",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "https://user:pw@app.example.org/",
            "https://app.example.org@evil.example/",
            "https://app.example.org/\r\nx",
            "https://app.example.org/ä",
            "file:///etc/passwd",
        ] {
            assert!(return_address(bad).is_none(), "{bad}");
        }
        assert!(return_address(&format!("https://a.example/{}", "x".repeat(3_000))).is_none());
    }

    #[test]
    fn only_the_trusted_address_and_what_lies_below_it_is_trusted() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let trusted = [url("https://app.example.org/web/"), url("https://chat.example.org")];
        for good in [
            "https://app.example.org/web/?x#y",
            "https://app.example.org/web",
            "https://app.example.org:443/web/a",
            "https://chat.example.org/anything",
        ] {
            assert!(is_trusted(&url(good), &trusted), "{good}");
        }
        for bad in [
            "http://app.example.org/web/",
            "https://app.example.org/",
            "https://app.example.org/webs",
            "https://app.example.org.evil.example/web/",
            "https://app.example.org:8443/web/",
            "https://evil.example/https://app.example.org/web/",
        ] {
            assert!(!is_trusted(&url(bad), &trusted), "{bad}");
        }
    }
}
