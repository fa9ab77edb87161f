//! `/_matrix/client/unstable/io.element.msc4388/rendezvous` (MSC4388): the content and the revision
//! are JSON.

use axum::{Json, Router, body::Body, extract::State};
use bytes::Bytes;
use http::{Method, Request, StatusCode, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{ATTEMPT_BYTES_MAX, Missed, Place, check_size, gone, must_be_a_program};
use crate::{
    ApiError, App, Serve, body, json,
    limits::{ClientAddress, Kind},
    oauth::LIMIT_COST,
};

const PATH: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";
/// Bytes of a body: JSON may escape each byte of the content in six.
const BODY_BYTES_MAX: usize = 32 * 1024;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    let place = format!("{PATH}/{{id}}");
    let attempt = format!("{place}/{{txn_id}}");
    router
        .serve_raw(Method::GET, PATH, discover)
        .serve_raw(Method::POST, PATH, create)
        .serve_raw(Method::GET, &place, get)
        .serve_raw(Method::PUT, &place, put)
        .serve_raw(Method::PUT, &attempt, put)
        .serve_raw(Method::DELETE, &place, delete)
}

/// Everybody may make a place: a new device has no token yet.
async fn discover() -> Json<Value> {
    Json(json!({ "create_available": true }))
}

#[derive(Deserialize)]
struct New {
    data: String,
}

async fn create(State(app): State<App>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let address = request.extensions().get::<ClientAddress>().copied();
    app.limiter.take(Kind::Login, address.as_ref().into(), LIMIT_COST)?;
    let (_, new) = read::<New>(request).await?;
    let (id, place) = app.rendezvous_2025.create(new.data.into())?;
    let expires_in_ms = left(&app, &place);
    let token = place.revision;
    Ok(Json(json!({ "id": id, "sequence_token": token, "expires_in_ms": expires_in_ms })))
}

async fn get(State(app): State<App>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    must_be_a_program(request.headers())?;
    let (id, _) = names(request.uri().path());
    let place = app.rendezvous_2025.get(id).ok_or_else(gone)?;
    let expires_in_ms = left(&app, &place);
    let data = String::from_utf8_lossy(&place.content);
    let token = place.revision;
    Ok(Json(json!({ "data": data, "sequence_token": token, "expires_in_ms": expires_in_ms })))
}

#[derive(Deserialize)]
struct Next {
    sequence_token: String,
    data: String,
}

async fn put(State(app): State<App>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let (parts, next) = read::<Next>(request).await?;
    let (id, attempt) = names(parts.uri.path());
    if attempt.is_some_and(|attempt| !is_attempt(attempt)) {
        return Err(ApiError::invalid_param("the transaction id is not possible"));
    }
    let content = Bytes::from(next.data);
    check_size(&content)?;
    match app.rendezvous_2025.write(id, &next.sequence_token, content, attempt) {
        Ok(place) => Ok(Json(json!({ "sequence_token": place.revision }))),
        Err(Missed::Gone) => Err(gone()),
        Err(Missed::Changed(_)) => {
            let code = "IO_ELEMENT_MSC4388_CONCURRENT_WRITE";
            let text = "somebody else wrote in between";
            Err(ApiError::new(StatusCode::CONFLICT, code, text))
        }
    }
}

async fn delete(State(app): State<App>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let (id, _) = names(request.uri().path());
    if app.rendezvous_2025.remove(id) { Ok(Json(json!({}))) } else { Err(gone()) }
}

async fn read<T: DeserializeOwned>(request: Request<Body>) -> Result<(Parts, T), ApiError> {
    let (parts, body) = request.into_parts();
    let body = body::whole(&parts.headers, body, BODY_BYTES_MAX).await?;
    json::check_object(&body)?;
    let value = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid_param(error.to_string()))?;
    Ok((parts, value))
}

/// Pure. The place and the attempt in a path.
fn names(path: &str) -> (&str, Option<&str>) {
    let rest = path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    match rest.split_once('/') {
        Some((id, attempt)) => (id, Some(attempt)),
        None => (rest, None),
    }
}

/// Pure. The grammar of opaque identifiers.
fn is_attempt(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._=~".contains(&b);
    (1..=ATTEMPT_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

fn left(app: &App, place: &Place) -> u64 {
    place.ends_ms.saturating_sub(app.data.env().now_millis())
}
