//! Rate limits per caller, and who the caller is behind a proxy.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
};

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

impl Kind {
    /// What one request takes of a limit.
    fn cost(self) -> f64 {
        match self {
            // An account takes two requests: the first one asks how to authenticate.
            Self::Registration => 0.5,
            _ => 1.0,
        }
    }
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

/// Who is counted. Tokens and addresses are made up by strangers, so only their hash is kept: long
/// ones take no more room than short ones.
#[derive(Clone, Copy, Hash)]
enum Counted<'a> {
    Token(&'a [u8]),
    Network(IpAddr),
    /// The listener said no address (tests).
    Unknown,
}

impl From<Option<&ClientAddress>> for Counted<'_> {
    fn from(address: Option<&ClientAddress>) -> Self {
        address.map_or(Self::Unknown, |address| Self::Network(network(address.0)))
    }
}

/// A customer gets a whole /64 of IPv6 addresses (RFC 6177), so that is one caller.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

type Buckets = LruCache<(Kind, u64), Bucket>;

/// Remembers who asked how often.
pub(crate) struct Limiter {
    env: Env,
    limits: Option<RateLimits>,
    /// Seeded at random: nobody outside can aim at another caller's bucket.
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

impl Limiter {
    pub(crate) fn new(env: Env, limits: Option<RateLimits>) -> Self {
        let buckets = Mutex::new(LruCache::new(CALLERS_MAX));
        Self { env, limits, hasher: RandomState::new(), buckets }
    }

    fn check(&self, kind: Kind, caller: Counted<'_>) -> Result<(), ApiError> {
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
        let caller = self.hasher.hash_one(caller);
        let mut buckets = self.buckets.lock();
        let full = Bucket { tokens: limit.burst, at_ms: now };
        let bucket = buckets.get_or_insert_mut((kind, caller), || full);
        let passed = now.saturating_sub(bucket.at_ms) as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + passed * limit.per_second).min(limit.burst);
        bucket.at_ms = now;
        let cost = kind.cost();
        if bucket.tokens >= cost {
            bucket.tokens -= cost;
            return Ok(());
        }
        let wait_s = (cost - bucket.tokens) / limit.per_second.max(f64::MIN_POSITIVE);
        Err(ApiError::limit_exceeded((wait_s * 1000.0).ceil().min(3_600_000.0) as u64))
    }
}

/// Refuse requests beyond the limits before anything is read. The caller is the access token if
/// there is one, else the address: a wrong token costs its sender only.
pub(crate) async fn limit(State(app): State<App>, request: Request<Body>, next: Next) -> Response {
    if let Some(kind) = kind_of(request.method(), request.uri().path()) {
        let token = request.headers().get(http::header::AUTHORIZATION);
        let address = request.extensions().get::<ClientAddress>();
        let caller = match (kind, token) {
            // Before signing in, any token is made up.
            (Kind::Login | Kind::Registration, _) | (_, None) => Counted::from(address),
            (_, Some(token)) => Counted::Token(token.as_bytes()),
        };
        if let Err(error) = app.limiter.check(kind, caller) {
            return error.into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter(per_second: f64, burst: f64) -> Limiter {
        let limits = RateLimits { login: RateLimit { per_second, burst }, ..RateLimits::default() };
        Limiter::new(Env::manual(1_000_000), Some(limits))
    }

    fn at(address: &str) -> Counted<'static> {
        let address = ClientAddress(address.parse().expect("an address"));
        Counted::from(Some(&address))
    }

    fn wait_ms(refused: Result<(), ApiError>) -> Option<u64> {
        refused.err()?.body()["retry_after_ms"].as_u64()
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let limiter = limiter(0.5, 3.0);
        for _ in 0..3 {
            assert!(limiter.check(Kind::Login, at("192.0.2.1")).is_ok());
        }
        assert_eq!(wait_ms(limiter.check(Kind::Login, at("192.0.2.1"))), Some(2_000));
        limiter.env.advance(Duration::from_millis(1_999));
        assert!(limiter.check(Kind::Login, at("192.0.2.1")).is_err());
        limiter.env.advance(Duration::from_millis(1));
        assert!(limiter.check(Kind::Login, at("192.0.2.1")).is_ok());
        assert!(limiter.check(Kind::Login, at("192.0.2.1")).is_err());
    }

    #[test]
    fn callers_and_kinds_are_counted_apart() {
        let limiter = limiter(0.5, 1.0);
        assert!(limiter.check(Kind::Login, at("192.0.2.1")).is_ok());
        assert!(limiter.check(Kind::Login, at("192.0.2.1")).is_err());
        assert!(limiter.check(Kind::Login, at("192.0.2.2")).is_ok());
        assert!(limiter.check(Kind::Login, Counted::Token(b"Bearer a")).is_ok());
        assert!(limiter.check(Kind::Login, Counted::Token(b"Bearer b")).is_ok());
        assert!(limiter.check(Kind::Join, at("192.0.2.1")).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let limiter = limiter(0.5, 1.0);
        assert!(limiter.check(Kind::Login, at("2001:db8::1")).is_ok());
        assert!(limiter.check(Kind::Login, at("2001:db8::ffff:1:2")).is_err());
        assert!(limiter.check(Kind::Login, at("2001:db8:0:1::1")).is_ok());
        assert!(limiter.check(Kind::Login, at("::ffff:192.0.2.9")).is_ok());
        assert!(limiter.check(Kind::Login, at("192.0.2.9")).is_err());
    }

    #[test]
    fn limits_can_be_off() {
        let limiter = Limiter::new(Env::manual(0), None);
        for _ in 0..1_000 {
            assert!(limiter.check(Kind::Registration, Counted::Unknown).is_ok());
        }
    }
}
