//! Who is calling. The kind of caller comes from ruma's authentication scheme of the request.

use std::sync::Arc;

use blaupause_accounts::{AccountsError, AppService, Session};
use bytes::Bytes;
use http::{HeaderMap, Request, Uri, request::Parts};
use ruma::{
    DeviceId, OwnedDeviceId, OwnedServerName, OwnedUserId,
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
    /// The application service that acts in the user's name.
    pub service: Option<Arc<AppService>>,
    /// The access token, for signing out and for changing the password.
    pub token: Arc<str>,
}

impl User {
    /// The device, where the request makes no sense without one.
    pub(crate) fn device(&self) -> Result<&DeviceId, ApiError> {
        self.device_id.as_deref().ok_or_else(|| ApiError::invalid_param("there is no device"))
    }

    /// Refuse everybody but administrators of this server.
    pub(crate) fn must_be_admin(&self) -> Result<(), ApiError> {
        if self.is_admin {
            Ok(())
        } else {
            Err(ApiError::forbidden("only administrators of this server may"))
        }
    }

    /// Refuse application services: identity assertion is not for account management (spec:
    /// application service API, "Identity assertion").
    pub(crate) fn must_be_person(&self) -> Result<(), ApiError> {
        match self.service {
            Some(_) => Err(ApiError::forbidden("application services may not do this")),
            None => Ok(()),
        }
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

    /// The same once the body is there, for callers who show by it who they are.
    fn confirm(
        _: &App,
        _: &Parts,
        _: &Bytes,
        who: Self::Who,
    ) -> impl Future<Output = Result<Self::Who, ApiError>> + Send {
        std::future::ready(Ok(who))
    }
}

impl Caller for AccessToken {
    const NEEDS_TOKEN: bool = true;
    type Who = User;
    async fn identify(app: &App, request: &Parts) -> Result<User, ApiError> {
        let token = token_of(request)?.ok_or_else(ApiError::missing_token)?;
        let service = app.accounts.services().by_token(&token).cloned();
        let session = match &service {
            Some(service) => masquerade(app, request, service).await?,
            None => session_of(app, request, &token).await?,
        };
        if service.as_ref().is_none_or(|service| service.is_limited(&session.user_id)) {
            limits::limit_user(app, request, &session.user_id)?;
        }
        let address = request.extensions.get::<ClientAddress>().map(|at| at.0.to_string());
        let agent = request.headers.get(http::header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        app.accounts.note_use(&session, address.as_deref(), agent);
        let user = User {
            user_id: session.user_id.clone(),
            device_id: session.device_id.clone(),
            is_guest: session.is_guest,
            is_admin: session.is_admin,
            session,
            service,
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

/// Other servers sign method, path and body of their requests.
impl Caller for ServerSignatures {
    const NEEDS_TOKEN: bool = false;
    type Who = OwnedServerName;

    /// Whom we would not listen to anyway does not get so far as to send a body.
    async fn identify(app: &App, request: &Parts) -> Result<OwnedServerName, ApiError> {
        Ok(app.federation.claimed_origin(&request.headers)?)
    }

    async fn confirm(
        app: &App,
        request: &Parts,
        body: &Bytes,
        _: OwnedServerName,
    ) -> Result<OwnedServerName, ApiError> {
        let mut signed = Request::new(body);
        signed.method_mut().clone_from(&request.method);
        signed.uri_mut().clone_from(&request.uri);
        signed.headers_mut().clone_from(&request.headers);
        Ok(app.federation.verify_request(&signed).await?)
    }
}

impl Caller for AppserviceToken {
    const NEEDS_TOKEN: bool = true;
    type Who = Arc<AppService>;
    async fn identify(app: &App, request: &Parts) -> Result<Self::Who, ApiError> {
        let token = token_of(request)?.ok_or_else(ApiError::missing_token)?;
        if let Some(service) = app.accounts.services().by_token(&token) {
            return Ok(Arc::clone(service));
        }
        // People learn that it is not for them; whoever is nobody, that.
        let session = session_of(app, request, &token).await?;
        if session.is_guest {
            return Err(ApiError::guest());
        }
        Err(ApiError::forbidden("this is for application services"))
    }
}

/// Who registers or signs in: a person, or an application service.
#[derive(Clone, Debug)]
pub enum Newcomer {
    /// No token.
    Person,
    /// A token that is no application service's.
    Unknown,
    Service(Arc<AppService>),
}

impl Newcomer {
    /// The service, where only one may (`m.login.application_service`).
    ///
    /// # Errors
    /// 401.
    pub(crate) fn service(self) -> Result<Arc<AppService>, ApiError> {
        match self {
            Self::Service(service) => Ok(service),
            Self::Person => Err(ApiError::missing_token()),
            Self::Unknown => Err(ApiError::unknown_token(false)),
        }
    }
}

/// Registration and login may be done by an application service.
impl Caller for AppserviceTokenOptional {
    const NEEDS_TOKEN: bool = false;
    type Who = Newcomer;
    async fn identify(app: &App, request: &Parts) -> Result<Newcomer, ApiError> {
        let Some(token) = token_of(request)? else { return Ok(Newcomer::Person) };
        let service = app.accounts.services().by_token(&token);
        Ok(service.map_or(Newcomer::Unknown, |service| Newcomer::Service(Arc::clone(service))))
    }
}

/// Whom an application service acts as, and from which device (spec: application service API,
/// "Identity assertion"; the last name is from before that was in the specification).
#[derive(Deserialize)]
struct ActsAs {
    user_id: Option<OwnedUserId>,
    device_id: Option<OwnedDeviceId>,
    #[serde(rename = "org.matrix.msc3202.device_id")]
    old_device_id: Option<OwnedDeviceId>,
}

/// Names of [`ActsAs`] and of the token, in queries that may have any other name.
pub(crate) const CALLER_QUERY: [&str; 4] =
    ["access_token", "user_id", "device_id", "org.matrix.msc3202.device_id"];

async fn masquerade(
    app: &App,
    request: &Parts,
    service: &AppService,
) -> Result<Arc<Session>, ApiError> {
    let query = axum::extract::Query::<ActsAs>::try_from_uri(&request.uri);
    let ActsAs { user_id, device_id, old_device_id } =
        query.map_err(|_| ApiError::invalid_param("the query names no user or device"))?.0;
    let device = device_id.or(old_device_id);
    let session = app.accounts.masquerade(service, user_id.as_deref(), device.as_deref()).await;
    Ok(session?)
}

/// The application service that asks and that no rate limit holds up, if one does: for what is
/// limited before anything else of a request is looked at.
pub(crate) fn is_unlimited_service(app: &App, headers: &HeaderMap, uri: &Uri) -> bool {
    let services = app.accounts.services();
    if services.is_empty() {
        return false;
    }
    let token = token_in(headers, uri).ok().flatten();
    token.and_then(|token| services.by_token(&token)).is_some_and(|it| !it.is_rate_limited())
}

/// The access token: from the header, or else from the query (deprecated, still in use).
fn token_of(request: &Parts) -> Result<Option<String>, ApiError> {
    token_in(&request.headers, &request.uri)
}

fn token_in(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, ApiError> {
    #[derive(Deserialize)]
    struct Query {
        access_token: Option<String>,
    }
    if let Some(token) = bearer(headers)? {
        return Ok(Some(token));
    }
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
