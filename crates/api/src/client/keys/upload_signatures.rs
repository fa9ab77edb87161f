//! `POST /_matrix/client/v3/keys/signatures/upload`

use blaupause_e2ee::E2eeError;
use ruma::api::client::keys::upload_signatures::v3::{Failure, Request, Response};

use crate::{ApiError, App, Call};

pub(crate) async fn upload_signatures(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let signed = call
        .body
        .signed_keys
        .iter()
        .map(|(user, keys)| {
            let keys = keys.iter().map(|(id, key)| (id.to_owned(), key.to_owned()));
            (user.clone(), keys.collect())
        })
        .collect();
    let failures = app.e2ee.upload_signatures(&call.who.user_id, &signed).await?;
    let mut answer = Response::new();
    answer.failures = failures
        .into_iter()
        .map(|(user, failed)| {
            let failed = failed.into_iter().map(|(id, error)| (id, failure(error)));
            (user, failed.collect())
        })
        .collect();
    Ok(answer)
}

/// ruma gives no way to build a failure; it is plain JSON.
fn failure(error: E2eeError) -> Failure {
    let body = ApiError::from(error).body();
    serde_json::from_value(body).expect("has the fields of a failure")
}
