//! `POST /_matrix/client/v3/login`

use blaupause_accounts::{Issued, Secret, SignIn};
use ruma::api::{
    IncomingRequest, Metadata,
    client::{
        session::login::v3::{self, LoginInfo, Response},
        uiaa::UserIdentifier,
    },
    error::DeserializationError,
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    ApiError, App, Call,
    limits::{Counted, Kind},
};

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
    };
    let issued = match request.login_info {
        LoginInfo::Password(password) => {
            let secret = Secret::new(password.password);
            #[expect(deprecated, reason = "older clients name the user here")]
            let name = match (password.identifier, password.user) {
                (Some(UserIdentifier::Matrix(id)), _) => id.user,
                (None, Some(user)) => user,
                (None, None) => return Err(ApiError::missing_param("identifier")),
                // Nobody has a mail address or telephone number here: as for an unknown name.
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
        LoginInfo::ApplicationService(_) => {
            // No application service is registered, so no token can be one's.
            return Err(ApiError::unknown_token(false));
        }
        _ => return Err(ApiError::unknown("this way of signing in is not known")),
    };
    Ok(response(&app, issued))
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
