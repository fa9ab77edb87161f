//! `POST /_matrix/client/v3/keys/claim`

use std::collections::BTreeMap;

use ruma::OwnedOneTimeKeyId;
use ruma::api::client::keys::claim_keys::v3::{Request, Response};

use crate::{ApiError, App, Call};

/// Devices of one request.
const DEVICES_MAX: usize = 10_000;

pub(crate) async fn claim_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let wanted = &call.body.one_time_keys;
    if wanted.values().map(BTreeMap::len).sum::<usize>() > DEVICES_MAX {
        return Err(ApiError::too_large("too many devices"));
    }
    let named = wanted
        .iter()
        .map(|(user, devices)| {
            let devices = devices.iter();
            (
                user.clone(),
                devices.map(|(id, algorithm)| (id.clone(), algorithm.to_string())).collect(),
            )
        })
        .collect();
    let mut keys: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (user, devices) in app.e2ee.claim_keys(&named).await? {
        for (device, (id, key)) in devices {
            // An id that was accepted at upload parses again.
            let Ok(id) = OwnedOneTimeKeyId::try_from(id) else { continue };
            let of_user: &mut BTreeMap<_, _> = keys.entry(user.clone()).or_default();
            of_user.insert(device, BTreeMap::from([(id, key)]));
        }
    }
    let mut answer = Response::new(keys);
    for user in wanted.keys().filter(|user| !app.is_local(user)) {
        answer.failures.insert(user.server_name().to_string(), serde_json::json!({}));
    }
    Ok(answer)
}
