//! `POST /_matrix/client/v3/keys/signatures/upload`

use ruma::api::client::keys::upload_signatures::v3::{Request, Response};
use ruma::api::{client::keys::upload_signatures::v3::Failure, error::ErrorKind};

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
            let failed = failed.into_iter().map(|(id, why)| (id, failure(&why)));
            (user, failed.collect())
        })
        .collect();
    Ok(answer)
}

/// ruma gives no way to build a failure; it is plain JSON.
fn failure((kind, text): &(ErrorKind, String)) -> Failure {
    let json = serde_json::json!({ "errcode": kind.errcode().as_str(), "error": text });
    serde_json::from_value(json).expect("has the fields of a failure")
}
