//! `/_matrix/client/unstable/org.matrix.msc4108/rendezvous` (MSC4108, version of 2024): the content
//! is the body, the revision the `ETag`.

use std::time::{Duration, SystemTime};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use ruma::http_headers::system_time_to_http_date;
use serde_json::json;

use super::{CONTENT_BYTES_MAX, Missed, Place, check_size, gone, must_be_a_program};
use crate::{
    ApiError, App, Serve, body,
    limits::{ClientAddress, Kind},
    oauth::LIMIT_COST,
};

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let place = format!("{PATH}/{{session_id}}");
    router
        .serve_raw(Method::POST, PATH, create)
        .serve_raw(Method::GET, &place, get)
        .serve_raw(Method::PUT, &place, put)
        .serve_raw(Method::DELETE, &place, delete)
}

async fn create(State(app): State<App>, request: Request<Body>) -> Result<Response, ApiError> {
    let oauth = app.settings.oauth.as_ref().ok_or_else(ApiError::unrecognized)?;
    let address = request.extensions().get::<ClientAddress>().copied();
    app.limiter.take(Kind::Login, address.as_ref().into(), LIMIT_COST)?;
    let content = content_of(request).await?;
    let (name, place) = app.rendezvous_2024.create(content)?;
    let url = format!("{}{PATH}/{name}", oauth.base_url);
    let answer = (StatusCode::CREATED, Json(json!({ "url": url }))).into_response();
    Ok(with_headers(answer, &place))
}

async fn get(State(app): State<App>, request: Request<Body>) -> Result<Response, ApiError> {
    must_be_a_program(request.headers())?;
    let place = app.rendezvous_2024.get(name(&request)).ok_or_else(gone)?;
    let seen = request.headers().get(header::IF_NONE_MATCH);
    if seen.is_some_and(|seen| seen == &*etag(&place)) {
        return Ok(with_headers(StatusCode::NOT_MODIFIED.into_response(), &place));
    }
    let content = Body::from(place.content.clone());
    let mut answer = Response::new(content);
    // Without a charset: clients compare the whole text.
    let kind = HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(with_headers(answer, &place))
}

async fn put(State(app): State<App>, request: Request<Body>) -> Result<Response, ApiError> {
    let name = name(&request).to_owned();
    let seen = request.headers().get(header::IF_MATCH).cloned();
    let seen = seen.ok_or_else(|| ApiError::missing_param("If-Match is missing"))?;
    let seen = revision(&seen).ok_or_else(|| ApiError::invalid_param("If-Match is no ETag"))?;
    let content = content_of(request).await?;
    match app.rendezvous_2024.write(&name, &seen, content, None) {
        Ok(place) => Ok(with_headers(StatusCode::ACCEPTED.into_response(), &place)),
        Err(Missed::Gone) => Err(gone()),
        Err(Missed::Changed(place)) => {
            let text = "somebody else wrote in between";
            let error = ApiError::new(StatusCode::PRECONDITION_FAILED, "M_UNKNOWN", text)
                .with("org.matrix.msc4108.errcode", "M_CONCURRENT_WRITE");
            Ok(with_headers(error.into_response(), &place))
        }
    }
}

async fn delete(State(app): State<App>, request: Request<Body>) -> Result<StatusCode, ApiError> {
    if app.rendezvous_2024.remove(name(&request)) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(gone())
    }
}

/// The last part of the path. Names have no letters that would be escaped.
fn name<B>(request: &Request<B>) -> &str {
    request.uri().path().rsplit('/').next().unwrap_or_default()
}

async fn content_of(request: Request<Body>) -> Result<Bytes, ApiError> {
    let (parts, body) = request.into_parts();
    must_be_text(&parts.headers)?;
    let content = body::whole(&parts.headers, body, CONTENT_BYTES_MAX).await?;
    check_size(&content)?;
    Ok(content)
}

fn must_be_text(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.ok_or_else(|| ApiError::missing_param("Content-Type is missing"))?;
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("text/plain") {
        Ok(())
    } else {
        Err(ApiError::invalid_param("Content-Type must be text/plain"))
    }
}

fn etag(place: &Place) -> String {
    format!("\"{}\"", place.revision)
}

/// Pure. The revision in a strong ETag; `None` if it is none.
fn revision(etag: &HeaderValue) -> Option<String> {
    let text = etag.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains(['"', ','])).then(|| text.to_owned())
}

fn with_headers(mut answer: Response, place: &Place) -> Response {
    let headers = answer.headers_mut();
    let time = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    for (name, millis) in
        [(header::EXPIRES, place.ends_ms), (header::LAST_MODIFIED, place.changed_ms)]
    {
        if let Ok(value) = system_time_to_http_date(&time(millis)) {
            headers.insert(name, value);
        }
    }
    if let Ok(etag) = HeaderValue::from_str(&etag(place)) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}
