//! `GET /_matrix/client/versions`

use std::collections::BTreeMap;

use ruma::api::client::discovery::get_supported_versions::{Request, Response};

use crate::{ApiError, App, Call};

/// Versions of the specification whose client-server API is served.
const VERSIONS: [&str; 22] = [
    "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8",
    "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18",
    "v1.19",
];

/// Proposals that clients ask for by name.
const FEATURES: &[&str] = &[
    "fi.mau.msc2659.stable",
    "org.matrix.label_based_filtering",
    "org.matrix.e2e_cross_signing",
    "org.matrix.msc2285.stable",
    "org.matrix.msc3440.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3827.stable",
    "org.matrix.msc3874",
    "org.matrix.msc3881",
    "org.matrix.msc3916.stable",
    "org.matrix.msc3952_intentional_mentions",
    "org.matrix.msc3981",
    "org.matrix.msc4143",
    "org.matrix.msc4222",
    "org.matrix.msc4354",
    "org.matrix.simplified_msc3575",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
    "org.matrix.msc3030.stable",
    "org.matrix.msc3391",
    "org.matrix.msc3912",
    "org.matrix.msc4155",
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
];

/// Proposals that are there if the operator wants them.
const THREAD_SUBSCRIPTIONS: [&str; 2] = ["org.matrix.msc4306", "org.matrix.msc4308"];
/// Everything encrypted is pushed.
const ENCRYPTED_EVENTS: &str = "org.matrix.msc4028";
/// Events that the server sends later.
const DELAYED_EVENTS: [&str; 2] = ["org.matrix.msc4140", "org.matrix.msc4140.stable"];
/// Signing in by a QR code, which needs the OAuth server.
const QR_LOGIN: [&str; 2] = ["org.matrix.msc4108", "io.element.msc4388"];

pub(crate) async fn get_supported_versions(
    app: App,
    _: Call<Request>,
) -> Result<Response, ApiError> {
    let mut answer = Response::new(VERSIONS.map(ToOwned::to_owned).to_vec());
    answer.unstable_features =
        FEATURES.iter().map(|name| ((*name).to_owned(), true)).collect::<BTreeMap<_, _>>();
    if app.notify.settings().thread_subscriptions {
        answer.unstable_features.extend(THREAD_SUBSCRIPTIONS.map(|name| (name.to_owned(), true)));
    }
    if app.notify.settings().encrypted_events {
        answer.unstable_features.insert(ENCRYPTED_EVENTS.to_owned(), true);
    }
    if app.rooms.settings().delayed.is_some() {
        answer.unstable_features.extend(DELAYED_EVENTS.map(|name| (name.to_owned(), true)));
    }
    if app.settings.oauth.is_some() {
        answer.unstable_features.extend(QR_LOGIN.map(|name| (name.to_owned(), true)));
    }
    Ok(answer)
}
