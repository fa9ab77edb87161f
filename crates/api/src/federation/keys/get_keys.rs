//! `POST /_matrix/federation/v1/user/keys/query`

use ruma::api::federation::keys::get_keys::v1::{Request, Response};

use crate::{ApiError, App, Call};

/// Users of one request.
const USERS_MAX: usize = 10_000;

pub(crate) async fn get_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let wanted = &call.body.device_keys;
    if wanted.len() > USERS_MAX {
        return Err(ApiError::too_large("too many users"));
    }
    let mut found = app.e2ee.keys_for_others(wanted).await?;
    app.services.query_keys(None, wanted, &mut found).await;
    // What is known of users of third servers is theirs to say.
    found.retain(|user, _| app.is_local(user));
    let mut answer = Response::default();
    for (user, keys) in found {
        answer.master_keys.extend(keys.master.map(|key| (user.clone(), key)));
        answer.self_signing_keys.extend(keys.self_signing.map(|key| (user.clone(), key)));
        answer.device_keys.insert(user, keys.devices);
    }
    Ok(answer)
}
