//! Who this server is: keys and version. Asked by everybody, unsigned.

mod get_remote_server_keys;
mod get_remote_server_keys_batch;
mod get_server_keys;
mod get_server_version;

use axum::Router;
use http::Method;
use ruma::{CanonicalJsonObject, api::federation::discovery::ServerSigningKeys, serde::Raw};
use serde_json::value::to_raw_value;

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(get_server_version::get_server_version)
        .serve(get_server_keys::get_server_keys)
        // Its last part was once the id of a key; some servers still ask so (Synapse does).
        .serve_raw(Method::GET, "/_matrix/key/v2/server/{key_id}", get_server_keys::of_key)
        .serve(get_remote_server_keys::get_remote_server_keys)
        .serve(get_remote_server_keys_batch::get_remote_server_keys_batch)
}

/// A document of keys as ruma's answers want it.
fn raw(document: &CanonicalJsonObject) -> Result<Raw<ServerSigningKeys>, ApiError> {
    let json = to_raw_value(document).map_err(|error| ApiError::internal(&error))?;
    Ok(Raw::from_json(json))
}
