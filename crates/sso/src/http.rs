//! What is asked of providers, and how much of their answers is read.

use std::time::Duration;

use blaupause_outbound::{Limits, Outbound, Reach};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;

/// A person waits meanwhile.
const LIMITS: Limits = Limits { time: Duration::from_secs(10), answer_bytes: 512 * 1024 };

/// Ask for a JSON document. The error is for the log.
pub(crate) async fn get_json(
    outbound: &Outbound,
    url: &str,
    bearer: Option<&str>,
) -> Result<Value, String> {
    let mut request = Request::get(url).header(header::ACCEPT, "application/json");
    if let Some(token) = bearer {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "the access token is no header".to_owned())?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Bytes::new()).map_err(|error| format!("{url}: {error}"))?;
    let answer = send(outbound, url, request).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("{url} answers {}", answer.status()));
    }
    serde_json::from_slice(answer.body()).map_err(|_| format!("{url} does not answer with JSON"))
}

/// Send a form; answers status and JSON.
pub(crate) async fn post_form(
    outbound: &Outbound,
    url: &str,
    form: String,
    authorization: Option<HeaderValue>,
) -> Result<(StatusCode, Value), String> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Bytes::from(form)).map_err(|error| format!("{url}: {error}"))?;
    let answer = send(outbound, url, request).await?;
    let status = answer.status();
    let json = serde_json::from_slice(answer.body())
        .map_err(|_| format!("{url} answers {status} without JSON"))?;
    Ok((status, json))
}

async fn send(
    outbound: &Outbound,
    url: &str,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, String> {
    let answer = outbound.send(request, Reach::Configured, LIMITS).await;
    answer.map_err(|error| format!("{url}: {error}"))
}
