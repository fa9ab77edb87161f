//! `GET /_matrix/client/v3/login`

use ruma::api::client::session::get_login_types::v3::{Request, Response};
use serde_json::{Value, json};

use crate::{ApiError, App, Call, routes::Answer};

pub(crate) async fn get_login_types(
    app: App,
    _: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let mut flows = Vec::new();
    if app.accounts.settings().password_login {
        flows.push(json!({ "type": "m.login.password" }));
    }
    flows.push(json!({ "type": "m.login.token", "get_login_token": true }));
    flows.extend(sso(&app));
    if app.sso.takes_jwt() {
        flows.push(json!({ "type": "org.matrix.login.jwt" }));
    }
    if !app.accounts.services().is_empty() {
        flows.push(json!({ "type": "m.login.application_service" }));
    }
    Ok(Answer::Other(json!({ "flows": flows })))
}

/// The way over our pages. With OAuth it is there for clients that do not speak it: those that do
/// are told to take this flow for it (spec: client-server API, "OAuth 2.0 aware clients"; MSC3824).
fn sso(app: &App) -> Option<Value> {
    app.pages_base_url()?;
    let mut flow = json!({ "type": "m.login.sso" });
    let providers: Vec<Value> = app
        .sso
        .providers()
        .iter()
        .map(|provider| json!({ "id": provider.id, "name": provider.name }))
        .collect();
    if !providers.is_empty() {
        flow["identity_providers"] = providers.into();
    }
    if app.settings.oauth.is_some() {
        for name in [
            "oauth_aware_preferred",
            "delegated_oidc_compatibility",
            "org.matrix.msc3824.delegated_oidc_compatibility",
        ] {
            flow[name] = true.into();
        }
    }
    Some(flow)
}
