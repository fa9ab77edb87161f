//! Who is calling. The kind of caller comes from ruma's authentication scheme of the request.

use std::sync::Arc;

use blaupause_accounts::{AccountsError, Session};
use http::{HeaderMap, request::Parts};
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId,
    api::auth_scheme::{
        AccessToken, AccessTokenOptional, AppserviceToken, AppserviceTokenOptional, AuthScheme,
        NoAccessToken, NoAuthentication,
    },
    api::federation::authentication::ServerSignatures,
};
use serde::Deserialize;

use crate::{
    ApiError, App,
    call::route,
    guests,
    limits::{self, ClientAddress, Counted, Kind},
    suspended,
};

/// A signed-in user and the device they use.
#[derive(Clone, Debug)]
pub struct User {
    pub user_id: OwnedUserId,
    /// `None` only for application services, which act without a device.
    pub device_id: Option<OwnedDeviceId>,
    pub is_guest: bool,
    pub is_admin: bool,
    pub session: Arc<Session>,
    /// The access token, for signing out and for changing the password.
    pub token: Arc<str>,
}

impl User {
    /// The device, where the request makes no sense without one.
    pub(crate) fn device(&self) -> Result<&DeviceId, ApiError> {
        self.device_id.as_deref().ok_or_else(|| ApiError::invalid_param("there is no device"))
    }

    /// Refuse everybody but this user (paths that name the user).
    pub(crate) fn must_be(&self, user: &ruma::UserId) -> Result<(), ApiError> {
        if self.user_id == user {
            Ok(())
        } else {
            Err(ApiError::forbidden("this belongs to somebody else"))
        }
    }
}

/// How a kind of caller is recognised.
pub trait Caller: AuthScheme {
    /// Whether nobody may ask without an access token.
    const NEEDS_TOKEN: bool;
    /// What handlers get to know about the caller.
    type Who: Send;
    /// Recognise the caller or refuse the request.
    fn identify(
        app: &App,
        request: &Parts,
    ) -> impl Future<Output = Result<Self::Who, ApiError>> + Send;
}

impl Caller for AccessToken {
    const NEEDS_TOKEN: bool = true;
    type Who = User;
    async fn identify(app: &App, request: &Parts) -> Result<User, ApiError> {
        let token = token_of(request)?.ok_or_else(ApiError::missing_token)?;
        let session = session_of(app, request, &token).await?;
        limits::limit_user(app, request, &session.user_id)?;
        let address = request.extensions.get::<ClientAddress>().map(|at| at.0.to_string());
        let agent = request.headers.get(http::header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        app.accounts.note_use(&session, address.as_deref(), agent);
        let user = User {
            user_id: session.user_id.clone(),
            device_id: Some(session.device_id.clone()),
            is_guest: session.is_guest,
            is_admin: session.is_admin,
            session,
            token: token.into(),
        };
        if user.is_guest && !guests::may(request) {
            return Err(ApiError::guest());
        }
        if user.session.is_suspended && !suspended::may(request) {
            return Err(ApiError::suspended());
        }
        Ok(user)
    }
}

impl Caller for AccessTokenOptional {
    const NEEDS_TOKEN: bool = false;
    type Who = Option<User>;
    async fn identify(app: &App, request: &Parts) -> Result<Option<User>, ApiError> {
        if token_of(request)?.is_none() {
            return Ok(None);
        }
        AccessToken::identify(app, request).await.map(Some)
    }
}

impl Caller for NoAuthentication {
    const NEEDS_TOKEN: bool = false;
    type Who = ();
    async fn identify(_: &App, _: &Parts) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Caller for NoAccessToken {
    const NEEDS_TOKEN: bool = false;
    type Who = ();
    async fn identify(app: &App, request: &Parts) -> Result<(), ApiError> {
        // Profiles are for everybody; but a client whose session has ended must learn it here, too.
        if route(request).contains("/profile/") && token_of(request)?.is_some() {
            AccessToken::identify(app, request).await?;
        }
        Ok(())
    }
}

/// Other servers sign their requests; none is known yet (federation is a later step), so none is
/// let in.
impl Caller for ServerSignatures {
    const NEEDS_TOKEN: bool = false;
    type Who = std::convert::Infallible;
    async fn identify(_: &App, _: &Parts) -> Result<Self::Who, ApiError> {
        Err(ApiError::unauthorized("this server does not federate"))
    }
}

/// No application services are registered yet.
impl Caller for AppserviceToken {
    const NEEDS_TOKEN: bool = true;
    type Who = std::convert::Infallible;
    async fn identify(_: &App, request: &Parts) -> Result<Self::Who, ApiError> {
        Err(match token_of(request)? {
            Some(_) => ApiError::unknown_token(false),
            None => ApiError::missing_token(),
        })
    }
}

/// Registration and login may be done by an application service; none is registered yet. A client
/// that still holds a token may sign in again, so only registration refuses one.
impl Caller for AppserviceTokenOptional {
    const NEEDS_TOKEN: bool = false;
    type Who = ();
    async fn identify(_: &App, request: &Parts) -> Result<(), ApiError> {
        if route(request).ends_with("/register") && token_of(request)?.is_some() {
            return Err(ApiError::unknown("only application services register with a token"));
        }
        Ok(())
    }
}

/// The access token: from the header, or else from the query (deprecated, still in use).
fn token_of(request: &Parts) -> Result<Option<String>, ApiError> {
    #[derive(Deserialize)]
    struct Query {
        access_token: Option<String>,
    }
    if let Some(token) = bearer(&request.headers)? {
        return Ok(Some(token));
    }
    let uri = &request.uri;
    let query = axum::extract::Query::<Query>::try_from_uri(uri)
        .map_err(|_| ApiError::invalid_param("the query cannot be read"))?;
    Ok(query.0.access_token.filter(|token| !token.is_empty()))
}

fn bearer(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Two answers to "who are you" are none.
    if values.next().is_some() {
        return Err(ApiError::missing_token());
    }
    let text = value.to_str().map_err(|_| ApiError::missing_token())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(ApiError::missing_token)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
        return Err(ApiError::missing_token());
    }
    Ok(Some(token.to_owned()))
}

/// The session of a token. Who tries too many that nobody has is no longer listened to, unless the
/// token is one that was in use a moment ago: others may come from the same address.
async fn session_of(app: &App, request: &Parts, token: &str) -> Result<Arc<Session>, ApiError> {
    let address = Counted::from(request.extensions.get::<ClientAddress>());
    if !app.accounts.is_in_memory(token) {
        app.limiter.look(Kind::UnknownToken, address)?;
    }
    let session = if may_be_locked(route(request)) {
        app.accounts.authenticate_even_locked(token).await
    } else {
        app.accounts.authenticate(token).await
    };
    if let Err(AccountsError::UnknownToken { soft_logout: false }) = &session {
        // It is told that the token is wrong, even if that was the last one.
        let _ = app.limiter.take(Kind::UnknownToken, address, 1.0);
    }
    Ok(session?)
}

/// Users of locked accounts can still sign out (spec: client-server API, "Account locking").
fn may_be_locked(route: &str) -> bool {
    route.ends_with("/logout") || route.ends_with("/logout/all")
}
