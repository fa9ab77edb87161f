//! Every request has an id: it stands in each line that is logged on its behalf, in the answer's
//! header, and in what a person is asked to quote when something of ours failed.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{MatchedPath, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, Request};
use tracing::Instrument;

use crate::App;

/// The header in which a proxy gives the id, and in which the answer repeats it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a proxy gives.
const LENGTH_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of one request. A listener puts one into the request's extensions if a proxy that it
/// trusts gave one; otherwise it is made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// What a *trusted* proxy wrote; `None` if it is not fit for a log line.
    pub fn from_proxy(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let fits = !text.is_empty() && text.len() <= LENGTH_MAX && text.chars().all(is_fit);
        fits.then(|| Self(text.into()))
    }

    fn new(random: [u8; 8]) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(random)).into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the request that this task answers; `None` outside of one.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

/// Give the request its id, and everything that is logged meanwhile. The route and not the path:
/// paths name people and rooms.
pub(crate) async fn set(State(app): State<App>, request: Request<Body>, next: Next) -> Response {
    let given = request.extensions().get::<RequestId>().cloned();
    let id = given.unwrap_or_else(|| RequestId::new(app.data.env().random()));
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = tracing::info_span!("request", id = id.as_str(), method = %request.method(), route);
    let header = HeaderValue::from_str(id.as_str());
    let mut response = CURRENT.scope(id, next.run(request).instrument(span)).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_log_line_is_not_taken() {
        let long = "a".repeat(LENGTH_MAX + 1);
        for bad in ["", "a b", "a\"b", "a=b", "ä", &long] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).expect("a header value");
            assert_eq!(RequestId::from_proxy(&value), None, "{bad}");
        }
        let good = HeaderValue::from_static("7f0c-1.A_b");
        let taken = RequestId::from_proxy(&good);
        assert_eq!(taken.as_ref().map(RequestId::as_str), Some("7f0c-1.A_b"));
    }
}
