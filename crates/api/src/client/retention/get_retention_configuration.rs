//! `GET /_matrix/client/unstable/org.matrix.msc1763/retention/configuration`

use ruma::api::auth_scheme::AccessToken;
use serde_json::{Map, Value, json};

use crate::{ApiError, App, asked::Asked};

/// What counts for every room (`*`), and what rooms can choose. A server that keeps messages for
/// ever does not know the endpoint: clients must not announce a limit that nobody keeps.
pub(crate) async fn get_retention_configuration(
    app: App,
    _: Asked<AccessToken>,
) -> Result<Value, ApiError> {
    let Some(retention) = &app.rooms.settings().retention else {
        return Err(ApiError::unrecognized());
    };
    let mut limits = Map::from_iter([("min".to_owned(), Value::from(retention.min_ms))]);
    if let Some(max) = retention.max_ms {
        limits.insert("max".to_owned(), max.into());
    }
    let policies = match retention.default_ms {
        Some(lifetime) => json!({ "*": { "max_lifetime": lifetime } }),
        None => json!({}),
    };
    Ok(json!({ "policies": policies, "limits": { "max_lifetime": limits } }))
}
