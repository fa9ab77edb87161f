//! One request of a browser, understood.

use axum::{body::Body, response::Response};
use blaupause_accounts::{AccountsError, Browser, Secret};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use ruma::UserId;
use sha2::{Digest, Sha256};
use url::form_urlencoded::Serializer;

use super::{Problem, language::Language, message};
use crate::{
    App, body,
    limits::{ClientAddress, Counted, Kind},
    oauth::{Parameters, is_form},
};

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The field of each form that shows that the page it stands on was made for this browser.
pub(super) const WORD: &str = "word";
/// Cookies: who is signed in, what forms are bound to, which language was chosen.
const BROWSER_COOKIE: &str = "bp_account";
const FORM_COOKIE: &str = "bp_form";
const LANGUAGE_COOKIE: &str = "bp_lang";
/// … and which visit to an identity provider this browser has begun.
const SSO_COOKIE: &str = "bp_sso";
/// Bytes of a cookie that is looked at.
const COOKIE_BYTES_MAX: usize = 200;
const SSO_COOKIE_BYTES_MAX: usize = 4_000;
/// A visit to an identity provider takes at most so long.
const SSO_SECONDS: u32 = 15 * 60;
/// A chosen language is remembered for a year.
const LANGUAGE_SECONDS: u32 = 365 * 24 * 60 * 60;

/// One request of a browser.
#[derive(Clone)]
pub(crate) struct Visit {
    pub app: App,
    path: String,
    /// The query without the language.
    pub query: Parameters,
    /// What was sent; empty unless the method is POST.
    pub form: Parameters,
    pub lang: Language,
    /// Who is signed in.
    pub browser: Option<Browser>,
    pub(super) is_post: bool,
    /// The word that the forms of the answer carry.
    pub(super) word: String,
    chosen: Option<Language>,
    /// A cookie for forms that the browser does not have yet.
    new_form_cookie: Option<String>,
    browser_cookie: Option<String>,
    sso_cookie: Option<String>,
    address: Option<ClientAddress>,
}

impl Visit {
    /// Understand a request; the error is a page that says why not.
    pub(super) async fn read(app: App, request: Request<Body>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let (mut visit, is_whole) = Self::of_head(app, &parts);
        if !is_whole {
            return Err(visit.bad_query());
        }
        if let Some(cookie) = &visit.browser_cookie {
            match visit.app.accounts.browser(cookie).await {
                Ok(browser) => visit.browser = browser,
                Err(error) => return Err(Problem::from(error).page(&visit)),
            }
        }
        if visit.is_post
            && let Err(refused) = visit.read_form(&parts.headers, body).await
        {
            return Err(visit.with_cookies(refused));
        }
        Ok(visit)
    }

    /// What can be known without reading anything, and whether the query could be understood.
    fn of_head(app: App, parts: &Parts) -> (Self, bool) {
        let secure = app.has_secure_pages();
        let short = |name: &str| cookie(&parts.headers, &full_name(name, secure), COOKIE_BYTES_MAX);
        let sso_cookie =
            cookie(&parts.headers, &full_name(SSO_COOKIE, secure), SSO_COOKIE_BYTES_MAX);
        let query = Parameters::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let is_whole = query.is_some();
        let mut query = query.unwrap_or_default();
        let chosen = query.take("lang").and_then(|code| Language::of_code(&code));
        let kept = short(LANGUAGE_COOKIE).and_then(|code| Language::of_code(&code));
        let lang = chosen.or(kept).unwrap_or_else(|| Language::of_headers(&parts.headers));
        let form_cookie = short(FORM_COOKIE);
        let browser_cookie = short(BROWSER_COOKIE);
        let new_form_cookie = form_cookie.is_none().then(|| app.data.env().random_text::<24>());
        let form_cookie = form_cookie.as_ref().or(new_form_cookie.as_ref());
        let word = word(
            form_cookie.map_or("", String::as_str),
            browser_cookie.as_deref().unwrap_or_default(),
        );
        let visit = Self {
            app,
            path: parts.uri.path().to_owned(),
            query,
            form: Parameters::default(),
            lang,
            browser: None,
            is_post: parts.method == Method::POST,
            word,
            chosen,
            new_form_cookie,
            browser_cookie,
            sso_cookie,
            address: parts.extensions.get::<ClientAddress>().copied(),
        };
        (visit, is_whole)
    }

    /// Read what was sent, if it was sent from a page that was made for this browser.
    async fn read_form(&mut self, headers: &HeaderMap, body: Body) -> Result<(), Response> {
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        if site.is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(self.stale_form());
        }
        if !is_form(headers) {
            return Err(self.bad_query());
        }
        let body = match body::whole(headers, body, FORM_BYTES_MAX).await {
            Ok(body) => body,
            Err(error) => return Err(Problem::from(error).page(self)),
        };
        let Some(form) = Parameters::parse(&body) else { return Err(self.bad_query()) };
        // Both are hashes or strangers' text: the time the comparison takes says nothing that
        // could be used within the life of a cookie, and their hashes are compared anyway.
        if self.new_form_cookie.is_some() || digest(form.text(WORD)) != digest(&self.word) {
            return Err(self.stale_form());
        }
        self.form = form;
        Ok(())
    }

    fn bad_query(&self) -> Response {
        let title = self.t("Ungültige Anfrage", "Invalid request");
        let text = self.t(
            "Ihr Browser hat etwas gesendet, das sich nicht lesen lässt.",
            "Your browser sent something that cannot be read.",
        );
        message(self, StatusCode::BAD_REQUEST, title, text, None)
    }

    fn stale_form(&self) -> Response {
        super::layout::page(
            self,
            StatusCode::FORBIDDEN,
            self.t("Bitte noch einmal", "Please try again"),
            &maud::html! {
                p {
                    (self.t(
                        "Das Formular ist zu alt oder wurde nicht von dieser Seite gesendet. \
                         Nichts wurde geändert. Ihr Browser muss Cookies annehmen.",
                        "The form is too old or was not sent from this page. Nothing was changed. \
                         Your browser must accept cookies.",
                    ))
                }
                p { a.button href=(self.here()) { (self.t("Neu laden", "Reload")) } }
            },
        )
    }

    /// The text in the person's language.
    pub(crate) fn t<'t>(&self, de: &'t str, en: &'t str) -> &'t str {
        self.lang.t(de, en)
    }

    /// This page's path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What this browser keeps of a visit to an identity provider.
    pub(super) fn sso_cookie(&self) -> Option<&str> {
        self.sso_cookie.as_deref()
    }

    /// Let the browser keep something while it is at an identity provider, or (`None`) forget it.
    pub(super) fn with_sso(&self, mut response: Response, cookie: Option<&str>) -> Response {
        let age = if cookie.is_some() { SSO_SECONDS } else { 0 };
        self.set_cookie(&mut response, SSO_COOKIE, cookie.unwrap_or_default(), Some(age));
        response
    }

    /// Pure. Shows in a link that it stands on a page made for this browser, and what for. Says
    /// nothing about the word of forms.
    pub(super) fn mark(&self, purpose: &str) -> String {
        hex(digest(&format!("mark {} {purpose}", self.word)))
    }

    /// Pure. A name for a person in this browser's session.
    pub(super) fn browser_mark(&self, user: &UserId) -> [u8; 32] {
        let cookie = self.browser_cookie.as_deref().unwrap_or_default();
        digest(&format!("proof {cookie} {user}"))
    }

    /// This page's address, without host and language.
    pub(crate) fn here(&self) -> String {
        let all: Vec<_> = self.query.all().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        self.link(&self.path, &all)
    }

    /// This page in another language.
    pub(super) fn here_in(&self, language: Language) -> String {
        let all = self.query.all().iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let all: Vec<_> = all.chain([("lang", language.code())]).collect();
        self.link(&self.path, &all)
    }

    /// Pure. An address on this server.
    pub(crate) fn link(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut parameters = Serializer::new(String::new());
        parameters.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
        match parameters.finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }

    /// Where the person wanted to go: a page of this server, whatever the query says.
    pub(super) fn next(&self) -> &str {
        self.query.get("next").filter(|next| is_ours(next)).unwrap_or("/account/")
    }

    /// Send the person to sign in, and back here afterwards.
    pub(super) fn to_login(&self) -> Response {
        super::redirect(&self.link("/account/login", &[("next", &self.here())]))
    }

    /// Count an attempt of whoever comes from this address.
    pub(super) fn count(&self, kind: Kind, cost: f64) -> Result<(), Problem> {
        Ok(self.app.limiter.take(kind, Counted::from(self.address.as_ref()), cost)?)
    }

    /// Check a person's password once more, under the limits of signing in.
    pub(super) async fn check_password(&self, user: &UserId, typed: &str) -> Result<(), Problem> {
        self.count(Kind::LoginFailed, 1.0)?;
        let password = Secret::new(typed.to_owned());
        self.app.accounts.check_password(user, &password).await?;
        self.not_failed();
        Ok(())
    }

    /// Sign in, under the limits of signing in by a program. Answers the cookie.
    pub(super) async fn sign_in(&self, name: &str, typed: &str) -> Result<Secret, Problem> {
        self.count(Kind::Login, 1.0)?;
        self.count(Kind::LoginFailed, 1.0)?;
        let password = Secret::new(typed.to_owned());
        let cookie = self.app.accounts.open_browser(name, &password).await?;
        self.not_failed();
        Ok(cookie)
    }

    fn not_failed(&self) {
        let address = Counted::from(self.address.as_ref());
        self.app.limiter.give_back(Kind::LoginFailed, address, 1.0);
    }

    /// End what this browser was signed in to.
    pub(super) async fn sign_out(&self) -> Result<(), AccountsError> {
        match &self.browser_cookie {
            Some(cookie) => self.app.accounts.close_browser(cookie).await,
            None => Ok(()),
        }
    }

    /// The same request of somebody who is not signed in any more.
    pub(super) fn signed_out(&self) -> Self {
        Self { browser: None, ..self.clone() }
    }

    fn is_secure(&self) -> bool {
        self.app.has_secure_pages()
    }

    /// Give the browser the cookie of a session, or (`None`) take it away.
    pub(super) fn with_browser(&self, mut response: Response, cookie: Option<&Secret>) -> Response {
        let value = cookie.map_or("", Secret::reveal);
        let age = cookie.is_none().then_some(0);
        self.set_cookie(&mut response, BROWSER_COOKIE, value, age);
        response
    }

    /// Put on the cookies that this visit made necessary.
    pub(super) fn with_cookies(&self, mut response: Response) -> Response {
        if let Some(value) = &self.new_form_cookie {
            self.set_cookie(&mut response, FORM_COOKIE, value, None);
        }
        if let Some(language) = self.chosen {
            let age = Some(LANGUAGE_SECONDS);
            self.set_cookie(&mut response, LANGUAGE_COOKIE, language.code(), age);
        }
        response
    }

    fn set_cookie(&self, response: &mut Response, name: &str, value: &str, age: Option<u32>) {
        let secure = self.is_secure();
        let name = full_name(name, secure);
        let mut text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
        if secure {
            text.push_str("; Secure");
        }
        if let Some(age) = age {
            text.push_str(&format!("; Max-Age={age}"));
        }
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

/// With HTTPS nobody but this very host can set the cookie (RFC 6265bis, "__Host-").
fn full_name(name: &str, secure: bool) -> String {
    if secure { format!("__Host-{name}") } else { name.to_owned() }
}

fn cookie(headers: &HeaderMap, name: &str, bytes_max: usize) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim() == name)?;
    let value = value.trim();
    (!value.is_empty() && value.len() <= bytes_max).then(|| value.to_owned())
}

/// Pure. Only who has the cookies knows the word; another site can neither read nor guess it.
fn word(form_cookie: &str, browser_cookie: &str) -> String {
    hex(digest(&format!("form {form_cookie} {browser_cookie}")))
}

fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Pure. Whether an address is a page of ours: nobody is sent elsewhere after signing in.
fn is_ours(next: &str) -> bool {
    let starts = next.starts_with("/account/") || next.starts_with("/oauth2/authorize?");
    starts && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !next.contains("/../")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_nobody_is_sent_to_another_site() {
        for good in ["/account/", "/account/link?code=BCDF-GHJK", "/oauth2/authorize?client_id=x"] {
            assert!(is_ours(good), "{good}");
        }
        for bad in [
            "",
            "https://evil.example.org/",
            "//evil.example.org/account/",
            "/\\evil.example.org",
            "/account",
            "/account/\\..\\",
            "/account/../../x",
            "/account/\r\nSet-Cookie: x",
            "/account/ä",
            "javascript:alert(1)",
        ] {
            assert!(!is_ours(bad), "{bad}");
        }
    }

    #[test]
    fn a_word_belongs_to_both_cookies() {
        assert_eq!(word("a", "b"), word("a", "b"));
        assert_ne!(word("a", "b"), word("a", ""));
        assert_ne!(word("a", "b"), word("b", "b"));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let line = HeaderValue::from_static("x=1; bp_form=abc ;bp_form2=d");
        let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
        assert_eq!(cookie(&headers, "bp_form", 10).as_deref(), Some("abc"));
        assert_eq!(cookie(&headers, "bp_for", 10), None);
        assert_eq!(cookie(&HeaderMap::new(), "x", 10), None);
    }
}
