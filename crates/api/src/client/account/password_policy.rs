//! `GET /_matrix/client/v3/password_policy` (MSC2000, as Synapse and Tchap have it)

use axum::{Json, extract::State};
use serde_json::{Map, Value};

use crate::App;

pub(super) const PATHS: [&str; 2] =
    ["/_matrix/client/v3/password_policy", "/_matrix/client/r0/password_policy"];

/// `{}` if there are no rules but the length.
pub(super) async fn password_policy(State(app): State<App>) -> Json<Value> {
    let settings = app.accounts.settings();
    let mut policy = Map::new();
    if let Some(rules) = settings.password_rules {
        policy.insert("m.minimum_length".into(), settings.password_length_min.into());
        for (name, is_needed) in [
            ("m.require_digit", rules.digit),
            ("m.require_lowercase", rules.lowercase),
            ("m.require_uppercase", rules.uppercase),
            ("m.require_symbol", rules.symbol),
        ] {
            policy.insert(name.into(), is_needed.into());
        }
    }
    Json(policy.into())
}
