//! `GET /_matrix/client/v1/auth_metadata`

use blaupause_accounts::RegistrationMode;
use ruma::{
    api::client::discovery::get_authorization_server_metadata::v1::{Request, Response},
    serde::Raw,
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{ApiError, App, Call};

/// What people may be sent to the account pages for, in the names of the specification and those
/// of MSC4191, which clients still use.
const ACTIONS: [&str; 9] = [
    "org.matrix.profile",
    "org.matrix.devices_list",
    "org.matrix.device_view",
    "org.matrix.device_delete",
    "org.matrix.sessions_list",
    "org.matrix.session_view",
    "org.matrix.session_end",
    "org.matrix.account_deactivate",
    "org.matrix.cross_signing_reset",
];

pub(super) async fn auth_metadata(app: App, _: Call<Request>) -> Result<Response, ApiError> {
    let oauth = app.settings.oauth.as_ref().ok_or_else(ApiError::unrecognized)?;
    let base = &oauth.base_url;
    let mut metadata = json!({
        "issuer": issuer(base),
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "token_endpoint": format!("{base}/oauth2/token"),
        "registration_endpoint": format!("{base}/oauth2/register"),
        "revocation_endpoint": format!("{base}/oauth2/revoke"),
        "device_authorization_endpoint": format!("{base}/oauth2/device"),
        "account_management_uri": account_url(base, None),
        "account_management_actions_supported": ACTIONS,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["urn:matrix:client:api:*"],
    });
    if app.accounts.settings().registration != RegistrationMode::Closed {
        metadata["prompt_values_supported"] = json!(["create"]);
    }
    let raw = to_raw_value(&metadata).map_err(|error| ApiError::internal(&error))?;
    Ok(Response::new(Raw::from_json(raw)))
}

fn issuer(base: &str) -> String {
    format!("{base}/")
}

/// The address of the account pages, perhaps for one action.
pub(crate) fn account_url(base: &str, action: Option<&str>) -> String {
    match action {
        Some(action) => format!("{base}/account/?action={action}"),
        None => format!("{base}/account/"),
    }
}

/// What older clients look for in `/.well-known/matrix/client`.
pub(crate) fn well_known(base: &str) -> Value {
    json!({ "issuer": issuer(base), "account": account_url(base, None) })
}
