//! What all pages have in common.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use super::{Visit, forms, language::Language};

/// A page with the usual rules.
pub(super) fn page(visit: &Visit, status: StatusCode, title: &str, body: &Markup) -> Response {
    page_leading_to(visit, status, title, body, None)
}

/// A page whose form may lead to one other place (Chrome applies `form-action` to redirects, too).
pub(super) fn page_leading_to(
    visit: &Visit,
    status: StatusCode,
    title: &str,
    body: &Markup,
    leads_to: Option<&str>,
) -> Response {
    let html = document(visit, title, body).into_string();
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{}{}; base-uri 'none'; \
         frame-ancestors 'none'",
        if leads_to.is_some() { " " } else { "" },
        leads_to.unwrap_or_default(),
    );
    let policy = HeaderValue::from_str(&policy)
        .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "DENY"),
        // What stands in an address here is nobody else's business. Not "no-referrer": forms would
        // then be sent without an origin.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (header::CONTENT_LANGUAGE, visit.lang.code()),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn document(visit: &Visit, title: &str, body: &Markup) -> Markup {
    let server = visit.app.data.server_name().as_str();
    html! {
        (DOCTYPE)
        html lang=(visit.lang.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – " (server) }
                link rel="stylesheet" href="/account/style.css";
            }
            body {
                a.skip href="#main" { (visit.t("Zum Inhalt", "Skip to content")) }
                header {
                    p.server { (server) }
                    (languages(visit))
                }
                main #main {
                    h1 { (title) }
                    (body)
                }
                @if let Some(browser) = &visit.browser { (signed_in(visit, browser.user_id.as_str())) }
            }
        }
    }
}

fn languages(visit: &Visit) -> Markup {
    html! {
        nav aria-label=(visit.t("Sprache", "Language")) {
            ul.languages {
                @for language in Language::ALL {
                    li {
                        @if language == visit.lang {
                            span lang=(language.code()) aria-current="true" { (language.name()) }
                        } @else {
                            a href=(visit.here_in(language)) lang=(language.code())
                                hreflang=(language.code()) { (language.name()) }
                        }
                    }
                }
            }
        }
    }
}

/// Where one can go, and who one is.
fn signed_in(visit: &Visit, user: &str) -> Markup {
    let pages = [
        ("/account/", visit.t("Übersicht", "Overview")),
        ("/account/profile", visit.t("Profil", "Profile")),
        ("/account/sessions", visit.t("Sitzungen", "Sessions")),
        ("/account/password", visit.t("Passwort", "Password")),
    ];
    let here = visit.here();
    html! {
        footer {
            p { (visit.t("Angemeldet als", "Signed in as")) " " strong { (user) } }
            nav aria-label=(visit.t("Konto", "Account")) {
                ul.pages {
                    @for (path, name) in pages {
                        li { a href=(path) aria-current=[(path == here).then_some("page")] { (name) } }
                    }
                }
            }
            (forms::form(visit, "/account/logout", &html! {
                button.quiet type="submit" { (visit.t("Von diesen Seiten abmelden", "Sign out of these pages")) }
            }))
        }
    }
}
