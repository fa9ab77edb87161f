//! End-to-end encryption keys.

mod claim_keys;
mod get_key_changes;
mod get_keys;
mod upload_keys;
mod upload_signatures;
mod upload_signing_keys;

use std::collections::BTreeMap;

use axum::Router;
use http::Method;
use serde_json::{Value, json};

pub(crate) use claim_keys::claim_here;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    let several = "/_matrix/client/unstable/org.matrix.msc3983/keys/claim";
    router
        .serve(claim_keys::claim_keys)
        .serve_raw(Method::POST, several, claim_keys::claim_several)
        .serve(get_key_changes::get_key_changes)
        .serve(get_keys::get_keys)
        .serve(upload_keys::upload_keys)
        .serve(upload_signatures::upload_signatures)
        .serve(upload_signing_keys::upload_signing_keys)
}

/// Which servers could not be asked. Why is for the log: what another server says is not shown.
fn as_failures(failures: blaupause_e2ee::Failures) -> BTreeMap<String, Value> {
    failures.into_keys().map(|server| (server.to_string(), json!({}))).collect()
}
