//! `POST /_matrix/client/v3/login`

use blaupause_accounts::{EmailAddress, Issued, Secret, SignIn};
use ruma::api::{
    IncomingRequest, Metadata,
    client::{
        session::login::v3::{self, LoginInfo, Response},
        uiaa::UserIdentifier,
    },
    error::DeserializationError,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    ApiError, App, Call,
    limits::{Counted, Kind},
};

/// A token of the operator's own system.
const JWT: &str = "org.matrix.login.jwt";

/// ruma's request, which may be read only if the body has a `type`: ruma 0.17 panics without.
#[derive(Debug)]
pub(crate) struct Request(v3::Request);

impl Metadata for Request {
    const METHOD: http::Method = v3::Request::METHOD;
    const RATE_LIMITED: bool = v3::Request::RATE_LIMITED;
    type Authentication = <v3::Request as Metadata>::Authentication;
    type PathBuilder = <v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = v3::Request::PATH_BUILDER;
}

impl IncomingRequest for Request {
    type EndpointError = <v3::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(Deserialize)]
        struct WithType {
            #[serde(rename = "type")]
            _type: IgnoredAny,
        }
        serde_json::from_slice::<WithType>(request.body())?;
        v3::Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}

pub(crate) async fn login(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let request = call.body.0;
    let how = SignIn {
        device_id: request.device_id,
        device_name: request.initial_device_display_name,
        refresh: request.refresh_token,
        origin: None,
    };
    let issued = match request.login_info {
        LoginInfo::Password(password) => {
            let secret = Secret::new(password.password);
            #[expect(deprecated, reason = "older clients name the user here")]
            let name = match (password.identifier, password.user) {
                (Some(UserIdentifier::Matrix(id)), _) => id.user,
                (None, Some(user)) => user,
                (None, None) => return Err(ApiError::missing_param("identifier")),
                (Some(UserIdentifier::Email(email)), _) => user_of(&app, &email.address).await?,
                // Nobody has a telephone number here: as for an unknown name.
                (Some(_), _) => String::new(),
            };
            let address = Counted::from(call.address.as_ref());
            // Counted as failed until it turns out to be right: many at once count, too.
            app.limiter.take(Kind::LoginFailed, address, 1.0)?;
            let issued = app.accounts.sign_in_with_password(&name, &secret, &how).await?;
            app.limiter.give_back(Kind::LoginFailed, address, 1.0);
            issued
        }
        LoginInfo::Token(token) => app.accounts.sign_in_with_token(&token.token, &how).await?,
        LoginInfo::ApplicationService(wanted) => {
            let service = call.who.service()?;
            must_have_legacy_login(&app)?;
            #[expect(deprecated, reason = "older services name the user here")]
            let name = match (wanted.identifier, wanted.user) {
                (Some(UserIdentifier::Matrix(id)), _) => id.user,
                (Some(_), _) => return Err(ApiError::unknown("only users are identified here")),
                (None, Some(user)) => user,
                (None, None) => return Err(ApiError::missing_param("identifier")),
            };
            app.accounts.sign_in_for_service(&service, &name, &how).await?
        }
        other if other.login_type() == JWT => {
            app.limiter.take(Kind::LoginFailed, Counted::from(call.address.as_ref()), 1.0)?;
            let data = other.data();
            let token = data.get("token").and_then(Value::as_str);
            let token = token.ok_or_else(|| ApiError::missing_param("token"))?;
            let issued = app.sso.sign_in_with_jwt(token, &how).await?;
            app.limiter.give_back(Kind::LoginFailed, Counted::from(call.address.as_ref()), 1.0);
            issued
        }
        _ => return Err(ApiError::unknown("this way of signing in is not known")),
    };
    Ok(response(&app, issued))
}

/// With OAuth and without passwords there is no older login API that a service could use (spec:
/// application service API, "Server admin style permissions").
///
/// # Errors
/// 400 then.
pub(in crate::client) fn must_have_legacy_login(app: &App) -> Result<(), ApiError> {
    if app.settings.oauth.is_some() && !app.accounts.settings().password_login {
        let text = "make devices with PUT /devices instead of signing in";
        let status = http::StatusCode::BAD_REQUEST;
        return Err(ApiError::new(status, "M_APPSERVICE_LOGIN_UNSUPPORTED", text));
    }
    Ok(())
}

/// Whose address it is; nobody's name if it is nobody's.
async fn user_of(app: &App, address: &str) -> Result<String, ApiError> {
    let Some(address) = EmailAddress::parse(address) else { return Ok(String::new()) };
    let owner = app.accounts.address_owner(&address).await?;
    Ok(owner.map(|owner| owner.to_string()).unwrap_or_default())
}

fn response(app: &App, issued: Issued) -> Response {
    let token = issued.access_token.reveal().to_owned();
    let mut response = Response::new(issued.user_id, token, issued.device_id);
    response.refresh_token = issued.refresh_token.map(|token| token.reveal().to_owned());
    response.expires_in = issued.expires_in;
    #[expect(deprecated, reason = "older clients want to know it")]
    {
        response.home_server = Some(app.data.server_name().to_owned());
    }
    response
}
