//! Rate limits per caller, and who the caller is behind a proxy.

use std::{net::IpAddr, num::NonZeroUsize};

use axum::{
    body::Body,
    extract::State,
    middleware::Next,
    response::{IntoResponse, Response},
};
use blaupause_data::Env;
use http::{Method, Request};
use lru::LruCache;
use parking_lot::Mutex;

use crate::{ApiError, App};

/// Callers whose recent requests are remembered.
const CALLERS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// The address a request comes from: the peer's, or what a trusted proxy says. Put into the
/// request's extensions by the listener, which alone knows the peer.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// So many requests per second on average, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    pub per_second: f64,
    pub burst: f64,
}

/// Limits by kind of request.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimits {
    pub login: RateLimit,
    pub registration: RateLimit,
    pub message: RateLimit,
    pub join: RateLimit,
    pub invite: RateLimit,
    pub create_room: RateLimit,
    pub media_create: RateLimit,
}

impl Default for RateLimits {
    fn default() -> Self {
        let limit = |per_second, burst| RateLimit { per_second, burst };
        Self {
            login: limit(0.2, 20.0),
            registration: limit(0.2, 5.0),
            message: limit(10.0, 100.0),
            join: limit(0.5, 50.0),
            invite: limit(0.5, 50.0),
            create_room: limit(0.2, 20.0),
            media_create: limit(5.0, 50.0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Login,
    Registration,
    Message,
    Join,
    Invite,
    CreateRoom,
    MediaCreate,
}

/// Which limit a request falls under.
fn kind_of(method: &Method, path: &str) -> Option<Kind> {
    let ends = |end: &str| path.ends_with(end);
    match *method {
        Method::POST if ends("/login") => Some(Kind::Login),
        Method::POST if ends("/register") => Some(Kind::Registration),
        Method::POST if ends("/createRoom") => Some(Kind::CreateRoom),
        Method::POST if ends("/join") || path.contains("/join/") || path.contains("/knock/") => {
            Some(Kind::Join)
        }
        Method::POST if ends("/invite") => Some(Kind::Invite),
        Method::POST if path.contains("/media/") => Some(Kind::MediaCreate),
        Method::PUT
            if path.contains("/rooms/")
                && ["/send/", "/state/", "/redact/"].iter().any(|part| path.contains(part)) =>
        {
            Some(Kind::Message)
        }
        _ => None,
    }
}

/// A bucket that fills with time and is emptied by requests.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ms: u64,
}

type Buckets = LruCache<(Kind, String), Bucket>;

/// Remembers who asked how often.
pub(crate) struct Limiter {
    env: Env,
    limits: Option<RateLimits>,
    buckets: Mutex<Buckets>,
}

impl Limiter {
    pub(crate) fn new(env: Env, limits: Option<RateLimits>) -> Self {
        Self { env, limits, buckets: Mutex::new(LruCache::new(CALLERS_MAX)) }
    }

    fn check(&self, kind: Kind, caller: String) -> Result<(), ApiError> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let limit = match kind {
            Kind::Login => limits.login,
            Kind::Registration => limits.registration,
            Kind::Message => limits.message,
            Kind::Join => limits.join,
            Kind::Invite => limits.invite,
            Kind::CreateRoom => limits.create_room,
            Kind::MediaCreate => limits.media_create,
        };
        let now = self.env.now_millis();
        let mut buckets = self.buckets.lock();
        let full = Bucket { tokens: limit.burst, at_ms: now };
        let bucket = buckets.get_or_insert_mut((kind, caller), || full);
        let passed = now.saturating_sub(bucket.at_ms) as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + passed * limit.per_second).min(limit.burst);
        bucket.at_ms = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait_s = (1.0 - bucket.tokens) / limit.per_second.max(f64::MIN_POSITIVE);
        Err(ApiError::limit_exceeded((wait_s * 1000.0).ceil().min(3_600_000.0) as u64))
    }
}

/// Refuse requests beyond the limits before anything is read. The caller is the access token if
/// there is one, else the address: a wrong token costs its sender only.
pub(crate) async fn limit(State(app): State<App>, request: Request<Body>, next: Next) -> Response {
    if let Some(kind) = kind_of(request.method(), request.uri().path()) {
        let token = request.headers().get(http::header::AUTHORIZATION);
        let address = request.extensions().get::<ClientAddress>();
        let caller = match (kind, token, address) {
            (Kind::Login | Kind::Registration, _, Some(address)) => address.0.to_string(),
            (_, Some(token), _) => String::from_utf8_lossy(token.as_bytes()).into_owned(),
            (_, None, Some(address)) => address.0.to_string(),
            (_, None, None) => String::new(),
        };
        if let Err(error) = app.limiter.check(kind, caller) {
            return error.into_response();
        }
    }
    next.run(request).await
}
