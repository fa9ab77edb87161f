//! Parameters of OAuth requests: `application/x-www-form-urlencoded`, in a query or a body.

use std::collections::BTreeMap;

use axum::body::Body;
use blaupause_accounts::OAuthError;
use http::{HeaderMap, Request, header};
use url::form_urlencoded;

use super::{BODY_BYTES_MAX, refusal::Refusal};
use crate::body;

/// Parameters of one request.
const PARAMETERS_MAX: usize = 100;

/// Parameters by name, each of which was there once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Pure. `None` if there are too many, or one twice: of two answers to one question none is
    /// believed (RFC 6749, section 3.1).
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut all = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            if all.len() >= PARAMETERS_MAX || all.insert(name.into(), value.into()).is_some() {
                return None;
            }
        }
        Some(Self(all))
    }

    /// A parameter that says something: an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter as it came; empty if it did not. For what people typed.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Take a parameter out, because it is not for whoever gets the rest.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// A parameter that must be there.
    pub(super) fn must(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::InvalidRequest(missing))
    }
}

/// The form in a request's body.
pub(super) async fn read(request: Request<Body>) -> Result<Parameters, Refusal> {
    let (parts, body) = request.into_parts();
    if !is_form(&parts.headers) {
        let why = "the body must be application/x-www-form-urlencoded";
        return Err(OAuthError::InvalidRequest(why).into());
    }
    let body = body::whole(&parts.headers, body, BODY_BYTES_MAX).await?;
    let why = "a parameter is there twice, or there are too many";
    Ok(Parameters::parse(&body).ok_or(OAuthError::InvalidRequest(why))?)
}

/// Whether a body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_parameter_is_none() {
        let all = Parameters::parse(b"a=1&b=&c").expect("each is there once");
        assert_eq!(
            (all.get("a"), all.get("b"), all.get("c"), all.get("d")),
            (Some("1"), None, None, None)
        );
    }

    #[test]
    fn a_parameter_that_is_there_twice_makes_the_request_invalid() {
        assert!(Parameters::parse(b"a=1&a=1").is_none());
        assert!(Parameters::parse(b"a=1&%61=2").is_none());
        let many: String = (0..200).map(|n| format!("{n}=&")).collect();
        assert!(Parameters::parse(many.as_bytes()).is_none());
        assert!(Parameters::parse(b"\xff%ff%zz=\xff&&=").is_some());
    }
}
