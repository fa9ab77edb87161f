//! One request, understood: who calls, and what with.

use std::{borrow::Cow, fmt::Display, ops::Deref};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, MatchedPath, RawPathParams},
};
use http::{Method, Request, request::Parts};
use ruma::api::{
    IncomingRequest, IncomingRequestExt, Metadata,
    error::{DeserializationError, FromHttpRequestError},
};
use serde_json::{Map, Value};

use crate::{ApiError, App, Caller, body, json, limits::ClientAddress, uia::Operation};

/// Bytes of a JSON body (an event is at most 65,536; initial state of a room may be many).
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a body that brings many keys to a backup.
const BACKUP_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of another server's transaction: 50 events of 64 KiB, 100 EDUs of about as much.
const TRANSACTION_BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// A request with its caller.
pub struct Call<R: Metadata>
where
    R::Authentication: Caller,
{
    pub who: <R::Authentication as Caller>::Who,
    pub body: R,
    /// What was asked for, to bind user-interactive authentication to.
    pub(crate) operation: Operation,
    /// The body as it came.
    pub(crate) raw: Bytes,
    /// Where it came from; `None` only in tests without a network.
    pub(crate) address: Option<ClientAddress>,
    /// What ruma does not know of the query.
    pub(crate) query: Option<String>,
}

impl<R> Call<R>
where
    R: IncomingRequest,
    R::Authentication: Caller,
{
    /// Recognise the caller, then read the body, then understand it: nobody who may not call
    /// makes us read anything.
    pub(crate) async fn from_request(
        app: &App,
        request: Request<Body>,
        extra_args: &[&str],
    ) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let who = R::Authentication::identify(app, &parts).await?;
        let params = PathParams::from_request_parts(&mut parts, app).await?;
        let raw = read_body(&parts, body).await?;
        let bytes = checked_json(&parts, &raw)?;
        let who = R::Authentication::confirm(app, &parts, &raw, who).await?;
        let args: Vec<&str> =
            params.iter().map(|(_, value)| value).chain(extra_args.iter().copied()).collect();
        let operation = Operation::new(&parts, raw.clone());
        let address = parts.extensions.get::<ClientAddress>().copied();
        let bytes = completed(route(&parts), bytes);
        let query = parts.uri.query().map(ToOwned::to_owned);
        let request = Request::from_parts(parts, &*bytes);
        let body = R::try_from_http_request(request, &args).map_err(misread)?;
        Ok(Self { who, body, operation, raw, address, query })
    }
}

pub(crate) async fn read_body(parts: &Parts, body: Body) -> Result<Bytes, ApiError> {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return Ok(Bytes::new());
    }
    let bytes_max = match route(parts) {
        route if route.contains("/room_keys/keys") => BACKUP_BODY_BYTES_MAX,
        "/_matrix/federation/v1/send/{transaction_id}" => TRANSACTION_BODY_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    body::whole(&parts.headers, body, bytes_max).await
}

/// Bodies must be JSON objects. An empty one stands for `{}` where the specification's body has
/// no required field and clients leave it out.
pub(crate) fn checked_json<'a>(parts: &Parts, raw: &'a Bytes) -> Result<&'a [u8], ApiError> {
    match parts.method {
        Method::GET | Method::HEAD | Method::DELETE if raw.is_empty() => Ok(raw),
        Method::POST | Method::PUT | Method::DELETE if raw.is_empty() => {
            if may_be_empty(route(parts)) || asks_again(parts) {
                Ok(b"{}")
            } else {
                Err(ApiError::not_json("the request body is empty"))
            }
        }
        _ => {
            json::check_object(raw)?;
            Ok(raw)
        }
    }
}

/// Endpoints whose body clients leave out.
fn may_be_empty(route: &str) -> bool {
    const ENDS: [&str; 8] = [
        "/join",
        "/leave",
        "/forget",
        "/logout",
        "/logout/all",
        "/deactivate",
        "/get_token",
        "/request_token",
    ];
    const CONTAINS: [&str; 5] =
        ["/join/", "/knock/", "/receipt/", "/media/v1/create", "/delayed_events/{delay_id}/"];
    // Who may not call is to hear that first; what is missing the handler says.
    let is_admin = route.starts_with("/_synapse/admin/");
    is_admin
        || ENDS.iter().any(|end| route.ends_with(end))
        || CONTAINS.iter().any(|part| route.contains(part))
}

/// Who asks again for what became of a delayed event may leave its content out (MSC4140).
fn asks_again(parts: &Parts) -> bool {
    route(parts).contains("/send/")
        && parts.uri.query().is_some_and(|query| query.contains("org.matrix.msc4140.delay="))
}

/// Fields that ruma requires and the specification does not: who leaves one out gets the answer
/// that belongs to the default, not an error.
fn completed<'a>(route: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    // End of the route, field, JSON.
    const DEFAULTS: [(&str, &str, &str); 7] = [
        ("/directory/list/room/{room_id}", "visibility", "\"public\""),
        // Asked without anything, it says how to authenticate.
        ("/account/password", "new_password", "\"\""),
        // The handler says what is missing.
        ("/v3/search", "search_categories", "{}"),
        ("/typing/{user_id}", "timeout", "30000"),
        // Whether the room is theirs to read is said first.
        ("/get_missing_events/{room_id}", "earliest_events", "[]"),
        ("/get_missing_events/{room_id}", "latest_events", "[]"),
        ("/user/keys/claim", "one_time_keys", "{}"),
    ];
    let mut defaults = DEFAULTS.iter().filter(|(end, ..)| route.ends_with(end)).peekable();
    let authenticates = AUTHENTICATED.iter().any(|end| route.ends_with(end));
    if defaults.peek().is_none() && !authenticates {
        return Cow::Borrowed(bytes);
    }
    // Errors are found, and said, where the request is understood.
    let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(bytes) else {
        return Cow::Borrowed(bytes);
    };
    for (_, field, value) in
        defaults.filter(|(_, field, _)| !object.contains_key(*field)).collect::<Vec<_>>()
    {
        let value = serde_json::from_str(value).expect("the defaults are JSON");
        object.insert((*field).to_owned(), value);
    }
    if authenticates && object.get("auth").and_then(Value::as_object).is_some_and(Map::is_empty) {
        object.remove("auth");
    }
    Cow::Owned(Value::Object(object).to_string().into_bytes())
}

/// Endpoints with user-interactive authentication. matrix-js-sdk sends `"auth": {}` where it has
/// nothing to show yet.
const AUTHENTICATED: [&str; 8] = [
    "/register",
    "/login/get_token",
    "/account/password",
    "/account/deactivate",
    "/account/3pid/add",
    "/delete_devices",
    "/devices/{device_id}",
    "/keys/device_signing/upload",
];

/// The route that was taken. Decisions hang on this and not on the path, most of which its sender
/// chooses.
pub(crate) fn route(parts: &Parts) -> &str {
    parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str)
}

/// The parameters of a path, decoded; what cannot be decoded is refused with an error code.
pub(crate) struct PathParams(RawPathParams);

impl Deref for PathParams {
    type Target = RawPathParams;
    fn deref(&self) -> &RawPathParams {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathParams {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        params.map(Self).map_err(|_| ApiError::invalid_param("the path cannot be decoded"))
    }
}

/// ruma's reasons as the specification's codes.
fn misread(error: FromHttpRequestError) -> ApiError {
    match error {
        FromHttpRequestError::Deserialization(error) => match error {
            DeserializationError::Json(error) => misread_json(&error),
            DeserializationError::Utf8(error) => ApiError::not_json(error.to_string()),
            other => missing(&other).unwrap_or_else(|| ApiError::invalid_param(other.to_string())),
        },
        FromHttpRequestError::MethodMismatch { .. } => ApiError::wrong_method(),
        other => ApiError::invalid_param(other.to_string()),
    }
}

/// What is wrong with a body that was not understood.
pub(crate) fn misread_json(error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return ApiError::not_json(error.to_string());
    }
    missing(error).unwrap_or_else(|| ApiError::bad_json(error.to_string()))
}

/// serde tells a missing field from a wrong one by its text alone.
fn missing(error: &impl Display) -> Option<ApiError> {
    let text = error.to_string();
    text.starts_with("missing field").then(|| ApiError::missing_param(text))
}
