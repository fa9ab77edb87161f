//! `POST /_matrix/client/v3/keys/claim`, and its successor that claims several keys of a device at
//! once (MSC3983).

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response as HttpResponse},
};
use blaupause_notify::{HandedOut, WantedKeys};
use ruma::{
    OwnedOneTimeKeyId,
    api::{
        auth_scheme::AccessToken,
        client::keys::claim_keys::v3::{Request, Response},
    },
};
use serde::Deserialize;
use serde_json::json;

use super::as_failures;
use crate::{
    ApiError, App, Call, Caller,
    call::{checked_json, misread_json, read_body},
};

/// Devices of one request.
const DEVICES_MAX: usize = 10_000;
/// Keys of one request; each takes one of somebody's stock.
const KEYS_MAX: usize = 10_000;
/// Keys of one device in one request.
const KEYS_PER_DEVICE_MAX: usize = 50;

pub(crate) async fn claim_keys(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let named = call.body.one_time_keys.into_iter().map(|(user, devices)| {
        let devices = devices.into_iter().map(|(id, kind)| (id, vec![kind.to_string()]));
        (user, devices.collect())
    });
    let (keys, failures) = claim(&app, named.collect()).await?;
    let mut answer = Response::new(keys);
    answer.failures = failures;
    Ok(answer)
}

/// As [`claim_keys`], with a list of algorithms for each device.
pub(crate) async fn claim_several(
    State(app): State<App>,
    request: http::Request<Body>,
) -> HttpResponse {
    #[derive(Deserialize)]
    struct Wanted {
        one_time_keys: WantedKeys,
    }
    let answer = async {
        let (parts, body) = request.into_parts();
        AccessToken::identify(&app, &parts).await?;
        let raw = read_body(&parts, body).await?;
        let wanted: Wanted = serde_json::from_slice(checked_json(&parts, &raw)?)
            .map_err(|error| misread_json(&error))?;
        claim(&app, wanted.one_time_keys).await
    };
    match answer.await {
        Ok((keys, failures)) => {
            axum::Json(json!({ "one_time_keys": keys, "failures": failures })).into_response()
        }
        Err(error) => error.into_response(),
    }
}

fn must_be_few(wanted: &WantedKeys) -> Result<(), ApiError> {
    let lists = || wanted.values().flat_map(BTreeMap::values);
    if lists().count() > DEVICES_MAX
        || lists().map(Vec::len).sum::<usize>() > KEYS_MAX
        || lists().any(|kinds| kinds.len() > KEYS_PER_DEVICE_MAX)
    {
        return Err(ApiError::too_large("too many keys"));
    }
    Ok(())
}

type Failures = BTreeMap<String, serde_json::Value>;

/// All servers are asked at the same time.
async fn claim(app: &App, wanted: WantedKeys) -> Result<(HandedOut, Failures), ApiError> {
    must_be_few(&wanted)?;
    let (here, there): (WantedKeys, WantedKeys) =
        wanted.into_iter().partition(|(user, _)| app.is_local(user));
    let mut keys = claim_here(app, here).await?;
    // Of a remote device one key a request: its server hands out no more.
    let there = there.into_iter().map(|(user, devices)| {
        let first = |(id, kinds): (_, Vec<String>)| Some((id, kinds.into_iter().next()?));
        (user, devices.into_iter().filter_map(first).collect())
    });
    let (remote, failures) = app.e2ee.claim_remote_keys(&there.collect()).await?;
    keys.extend(remote);
    Ok((keys, as_failures(failures)))
}

/// Keys of users of this server: first from the application services that keep keys themselves,
/// then from what is stored.
pub(crate) async fn claim_here(app: &App, mut wanted: WantedKeys) -> Result<HandedOut, ApiError> {
    must_be_few(&wanted)?;
    let mut keys = app.services.claim_keys(&mut wanted).await;
    loop {
        // One of each device at a time.
        let round: BTreeMap<_, BTreeMap<_, _>> = wanted
            .iter_mut()
            .map(|(user, devices)| {
                let next = devices.iter_mut().filter_map(|(id, kinds)| {
                    (!kinds.is_empty()).then(|| (id.clone(), kinds.remove(0)))
                });
                (user.clone(), next.collect())
            })
            .filter(|(_, devices): &(_, BTreeMap<_, _>)| !devices.is_empty())
            .collect();
        if round.is_empty() {
            return Ok(keys);
        }
        for (user, devices) in app.e2ee.claim_keys(&round).await? {
            for (device, (id, key)) in devices {
                // An id that was accepted at upload parses again.
                let Ok(id) = OwnedOneTimeKeyId::try_from(id) else { continue };
                let of_user = keys.entry(user.clone()).or_default();
                of_user.entry(device).or_default().insert(id, key);
            }
        }
    }
}
