//! `POST /_matrix/client/v3/keys/query`

use ruma::api::client::keys::get_keys::v3::{Request, Response};

use super::as_failures;
use crate::{ApiError, App, Call};

/// Users of one request.
const USERS_MAX: usize = 10_000;

pub(crate) async fn get_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let wanted = &call.body.device_keys;
    if wanted.len() > USERS_MAX {
        return Err(ApiError::too_large("too many users"));
    }
    let mut answer = Response::new();
    let asking = Some(&*call.who.user_id);
    let mut found = app.e2ee.query_keys(asking, wanted).await?;
    app.services.query_keys(asking, wanted, &mut found).await;
    let remote = app.e2ee.query_remote_keys(&call.who.user_id, wanted).await?;
    found.extend(remote.keys);
    for (user, keys) in found {
        answer.master_keys.extend(keys.master.map(|key| (user.clone(), key)));
        answer.self_signing_keys.extend(keys.self_signing.map(|key| (user.clone(), key)));
        answer.user_signing_keys.extend(keys.user_signing.map(|key| (user.clone(), key)));
        answer.device_keys.insert(user, keys.devices);
    }
    answer.failures = as_failures(remote.failures);
    Ok(answer)
}
