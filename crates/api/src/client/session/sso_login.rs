//! `GET /_matrix/client/v3/login/sso/redirect`, with and without an identity provider's id.
//!
//! The browser is sent to our own pages, where the person signs in as on any other way (OAuth,
//! account pages), and from there back to the client: `pages/to_client.rs`.

use ruma::api::client::session::{
    SsoRedirectAction,
    sso_login::v3::{Request, Response},
    sso_login_with_provider::v3 as with_provider,
};
use url::form_urlencoded::Serializer;

use crate::{ApiError, App, Call, pages::to_client};

pub(super) async fn sso_login(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let Request { redirect_url, action, .. } = call.body;
    Ok(Response::new(page(&app, &redirect_url, None, action.as_ref())?))
}

pub(super) async fn sso_login_with_provider(
    app: App,
    call: Call<with_provider::Request>,
) -> Result<with_provider::Response, ApiError> {
    let with_provider::Request { idp_id, redirect_url, action, .. } = call.body;
    let is_known = app.sso.providers().iter().any(|provider| provider.id == idp_id);
    if app.pages_base_url().is_some() && !is_known {
        return Err(ApiError::not_found("there is no such identity provider"));
    }
    let page = page(&app, &redirect_url, Some(&idp_id), action.as_ref())?;
    Ok(with_provider::Response::new(page))
}

/// Where the person signs in.
fn page(
    app: &App,
    redirect_url: &str,
    provider: Option<&str>,
    action: Option<&SsoRedirectAction>,
) -> Result<String, ApiError> {
    let base = app.pages_base_url().ok_or_else(ApiError::unrecognized)?;
    if to_client::return_address(redirect_url).is_none() {
        return Err(ApiError::invalid_param("redirectUrl is not an address to go back to"));
    }
    let mut query = Serializer::new(String::new());
    if action == Some(&SsoRedirectAction::Register) {
        query.append_pair("action", "register");
    }
    if let Some(provider) = provider {
        query.append_pair("provider", provider);
    }
    query.append_pair("redirect", redirect_url);
    Ok(format!("{base}{}?{}", to_client::PATH, query.finish()))
}
