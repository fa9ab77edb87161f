//! What is said to browsers and caches unless the handler says something else.

use axum::{body::Body, middleware::Next, response::Response};
use http::{HeaderValue, Request, header};

/// Answers belong to one caller: no cache keeps them, no browser guesses what they are. Discovery
/// documents are the same for all and are asked for often; there the other side's default holds.
pub(crate) async fn set(request: Request<Body>, next: Next) -> Response {
    let is_discovery = request.uri().path().starts_with("/.well-known/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(nosniff);
    if !is_discovery {
        let no_store = HeaderValue::from_static("no-store");
        headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    }
    response
}
