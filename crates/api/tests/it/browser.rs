//! A browser without JavaScript: it keeps cookies, follows redirects on this server and sends
//! forms as they stand on a page.

use std::{cell::RefCell, collections::BTreeMap};

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::server::Server;

/// A page, or whatever came instead.
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub html: String,
}

impl Page {
    /// Where the browser is sent.
    #[track_caller]
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.html);
        self.header("location")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The word that the forms of this page carry.
    #[track_caller]
    pub fn word(&self) -> &str {
        let (_, rest) = self.html.split_once("name=\"word\" value=\"").expect("there is a form");
        rest.split('"').next().expect("the value ends")
    }

    #[track_caller]
    pub fn has(&self, text: &str) {
        assert!(self.html.contains(text), "{text} is not in {}", self.html);
    }
}

pub struct Browser<'s> {
    server: &'s Server,
    cookies: RefCell<BTreeMap<String, String>>,
    pub language: &'static str,
}

impl<'s> Browser<'s> {
    pub fn new(server: &'s Server) -> Self {
        Self { server, cookies: RefCell::default(), language: "en" }
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// One request, redirects not followed.
    pub async fn send(&self, mut request: Request<Body>) -> Page {
        let cookies: Vec<_> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = request.headers_mut();
        if !cookies.is_empty() {
            headers.insert("cookie", cookies.join("; ").parse().expect("a header"));
        }
        headers.insert("accept-language", self.language.parse().expect("a header"));
        let response = self.server.router.clone().oneshot(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().expect("ASCII");
            let (name, value) =
                line.split(';').next().and_then(|c| c.split_once('=')).expect("x=y");
            if line.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.set_cookie(name, value);
            }
        }
        let body = response.into_body().collect().await.expect("in memory").to_bytes();
        Page { status, headers, html: String::from_utf8_lossy(&body).into_owned() }
    }

    pub async fn get(&self, path: &str) -> Page {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// Send a form as another site could: without the word.
    pub async fn post_bare(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form(fields))).expect("a request")).await
    }

    /// Open a page and send its form.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get(path).await;
        let word = page.word().to_owned();
        let fields: Vec<_> = fields.iter().copied().chain([("word", word.as_str())]).collect();
        self.post_bare(path, &fields).await
    }

    /// Sign in.
    pub async fn sign_in(&self, name: &str, password: &str) -> Page {
        self.submit("/account/login", &[("name", name), ("password", password)]).await
    }
}

/// `application/x-www-form-urlencoded`.
pub fn form(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A parameter of a query or fragment.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, all) = url.split_once('#').or_else(|| url.split_once('?'))?;
    let found = all.rsplit('?').next()?.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        (found == name).then(|| value.replace('+', " "))
    });
    found.map(|value| {
        let mut bytes = Vec::new();
        let mut rest = value.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            let escaped = (first == b'%')
                .then(|| std::str::from_utf8(tail.get(..2)?).ok())
                .flatten()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(escaped.unwrap_or(first));
            rest = if escaped.is_some() { &tail[2..] } else { tail };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
