//! Rate limits: what is counted, and for whom.
//!
//! Requests of signed-in users are counted per user, after the token was recognised: a stranger
//! cannot use up somebody's limit, and a person with many sessions has one. What is asked without a
//! token, and tokens that nobody has, are counted per address.

mod buckets;

use std::net::{IpAddr, Ipv6Addr};

use axum::{
    body::Body,
    extract::{MatchedPath, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Method, Request, request::Parts};
use ruma::UserId;

use crate::{ApiError, App, call::route, caller::is_unlimited_service};

pub(crate) use buckets::Limiter;

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
    /// Events sent, per user.
    pub message: RateLimit,
    /// Attempts to sign in, per address.
    pub login: RateLimit,
    /// Failed attempts to sign in, per address. (Per account they are counted in `accounts`.)
    pub login_failed: RateLimit,
    /// Accounts made, per address.
    pub registration: RateLimit,
    /// Rooms joined or knocked at, per user.
    pub join: RateLimit,
    /// Invitations, per user.
    pub invite: RateLimit,
    /// Rooms made or upgraded, per user.
    pub room_creation: RateLimit,
    /// Changes of one's presence, per user.
    pub presence: RateLimit,
    /// Searches for people, per user.
    pub user_directory: RateLimit,
    /// Files uploaded or announced, per user.
    pub media_upload: RateLimit,
    /// Tokens that nobody has, per address.
    pub unknown_token: RateLimit,
    /// Delayed events sent, cancelled or restarted, per user.
    pub delayed_events: RateLimit,
}

impl Default for RateLimits {
    fn default() -> Self {
        let limit = |per_second, burst| RateLimit { per_second, burst };
        Self {
            message: limit(5.0, 50.0),
            login: limit(0.2, 20.0),
            login_failed: limit(0.1, 20.0),
            registration: limit(0.1, 5.0),
            join: limit(0.5, 20.0),
            invite: limit(0.5, 50.0),
            room_creation: limit(0.1, 20.0),
            presence: limit(0.5, 10.0),
            user_directory: limit(1.0, 30.0),
            media_upload: limit(1.0, 50.0),
            unknown_token: limit(1.0, 100.0),
            delayed_events: limit(1.0, 20.0),
        }
    }
}

impl RateLimits {
    const fn of(&self, kind: Kind) -> RateLimit {
        match kind {
            Kind::Message => self.message,
            Kind::Login => self.login,
            Kind::LoginFailed => self.login_failed,
            Kind::Registration => self.registration,
            Kind::Join => self.join,
            Kind::Invite => self.invite,
            Kind::RoomCreation => self.room_creation,
            Kind::Presence => self.presence,
            Kind::UserDirectory => self.user_directory,
            Kind::MediaUpload => self.media_upload,
            Kind::UnknownToken => self.unknown_token,
            Kind::DelayedEvents => self.delayed_events,
        }
    }
}

/// What is counted, named as in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Message,
    Login,
    LoginFailed,
    Registration,
    Join,
    Invite,
    RoomCreation,
    Presence,
    UserDirectory,
    MediaUpload,
    UnknownToken,
    DelayedEvents,
}

/// For whom it is counted. Addresses are made up by strangers, so only a hash is kept: long names
/// take no more room than short ones.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Counted<'a> {
    User(&'a UserId),
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

/// What one request without a signed-in user takes of which limit.
fn open_kind(method: &Method, route: &str) -> Option<(Kind, f64)> {
    let is_client = route.starts_with("/_matrix/client/");
    let ends = |end: &str| is_client && route.ends_with(end);
    match *method {
        Method::POST if ends("/login") => Some((Kind::Login, 1.0)),
        // An account takes two requests: the first one asks how to authenticate.
        Method::POST if ends("/register") => Some((Kind::Registration, 0.5)),
        // Each may send a mail.
        Method::POST if ends("/requestToken") => Some((Kind::Registration, 0.5)),
        // Asked while a person types a name.
        Method::GET if ends("/register/available") => Some((Kind::Registration, 0.1)),
        // Says whether a registration token is good: guessing is as slow as registering.
        Method::GET if ends("/validity") => Some((Kind::Registration, 0.5)),
        Method::POST if ends("/fallback/web") => Some((Kind::Registration, 0.5)),
        _ => None,
    }
}

/// Which limit a request of a signed-in user falls under.
fn user_kind(method: &Method, route: &str) -> Option<Kind> {
    let ends = |end: &str| route.ends_with(end);
    let has = |part: &str| route.contains(part);
    match *method {
        Method::PUT if has("/rooms/") && (has("/send/") || has("/state/") || has("/redact/")) => {
            Some(Kind::Message)
        }
        Method::PUT if has("/delayed_event/") => Some(Kind::Message),
        Method::POST if has("/delayed_events/") => Some(Kind::DelayedEvents),
        Method::PUT if ends("/subscription") => Some(Kind::Message),
        Method::PUT if ends("/status") && has("/presence/") => Some(Kind::Presence),
        Method::PUT if has("/media/") && has("/upload/") => Some(Kind::MediaUpload),
        Method::POST if ends("/upload") && has("/media/") => Some(Kind::MediaUpload),
        Method::GET if ends("/preview_url") => Some(Kind::MediaUpload),
        Method::POST if ends("/create") && has("/media/") => Some(Kind::MediaUpload),
        Method::POST if ends("/createRoom") || ends("/upgrade") => Some(Kind::RoomCreation),
        Method::POST if ends("/join") || has("/join/") || has("/knock/") => Some(Kind::Join),
        Method::POST if ends("/invite") => Some(Kind::Invite),
        Method::POST if ends("/user_directory/search") || ends("/account_status") => {
            Some(Kind::UserDirectory)
        }
        _ => None,
    }
}

/// Count what anybody may ask, before anything of it is read.
pub(crate) async fn limit(State(app): State<App>, request: Request<Body>, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let open = open_kind(request.method(), route)
        .filter(|_| !is_unlimited_service(&app, request.headers(), request.uri()));
    if let Some((kind, cost)) = open {
        let address = request.extensions().get::<ClientAddress>();
        if let Err(error) = app.limiter.take(kind, address.into(), cost) {
            return error.into_response();
        }
    }
    next.run(request).await
}

/// Count what a signed-in user asks.
///
/// # Errors
/// 429 if it is too much.
pub(crate) fn limit_user(app: &App, request: &Parts, user: &UserId) -> Result<(), ApiError> {
    match user_kind(&request.method, route(request)) {
        Some(kind) => app.limiter.take(kind, Counted::User(user), 1.0),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_fall_under_the_limits_that_are_named_for_them() {
        for (method, route, kind) in [
            ("PUT", "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}", Kind::Message),
            ("PUT", "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/", Kind::Message),
            ("PUT", "/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}", Kind::Message),
            ("PUT", "/_matrix/client/v3/presence/{user_id}/status", Kind::Presence),
            ("POST", "/_matrix/client/v3/createRoom", Kind::RoomCreation),
            ("POST", "/_matrix/client/v3/rooms/{room_id}/upgrade", Kind::RoomCreation),
            ("POST", "/_matrix/client/v3/rooms/{room_id}/join", Kind::Join),
            ("POST", "/_matrix/client/v3/join/{room_id_or_alias}", Kind::Join),
            ("POST", "/_matrix/client/v3/knock/{room_id_or_alias}", Kind::Join),
            ("POST", "/_matrix/client/v3/rooms/{room_id}/invite", Kind::Invite),
            ("POST", "/_matrix/client/v3/user_directory/search", Kind::UserDirectory),
            ("POST", "/_matrix/media/v3/upload", Kind::MediaUpload),
            ("PUT", "/_matrix/media/v3/upload/{server}/{id}", Kind::MediaUpload),
            ("POST", "/_matrix/media/v1/create", Kind::MediaUpload),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(user_kind(&method, route), Some(kind), "{method} {route}");
        }
    }

    #[test]
    fn reading_and_keys_are_not_limited() {
        for (method, route) in [
            ("GET", "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}"),
            ("POST", "/_matrix/client/v3/keys/upload"),
            ("POST", "/_matrix/client/v3/keys/signatures/upload"),
            ("PUT", "/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}"),
            ("GET", "/_matrix/client/v3/sync"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(user_kind(&method, route), None, "{method} {route}");
            assert_eq!(open_kind(&method, route), None, "{method} {route}");
        }
    }

    #[test]
    fn whoever_holds_the_shared_secret_may_make_many_accounts() {
        assert_eq!(open_kind(&Method::POST, "/_synapse/admin/v1/register"), None);
        let route = "/_matrix/client/v3/register";
        assert_eq!(open_kind(&Method::POST, route), Some((Kind::Registration, 0.5)));
    }
}
