//! What guests may do (spec: client-server API, "Guest access"), and a little more that every
//! client needs to get so far: what one's own server can do, relations, public rooms.

use http::request::Parts;

use crate::{
    allowed::{Allowed, lists},
    call::route,
};

/// Method and end of the route.
const ALLOWED: &Allowed = &[
    (
        "GET",
        &[
            "/account/whoami",
            "/capabilities",
            "/client/versions",
            "/delayed_events",
            "/delayed_events/{}",
            "/devices",
            "/devices/{}",
            "/events",
            "/joined_rooms",
            "/keys/changes",
            "/media/download/{}/{}",
            "/media/download/{}/{}/{}",
            "/media/thumbnail/{}/{}",
            "/profile/{}",
            "/profile/{}/{}",
            "/publicRooms",
            "/room_summary/{}",
            "/rooms/{}/context/{}",
            "/rooms/{}/event/{}",
            "/rooms/{}/hierarchy",
            "/rooms/{}/initialSync",
            "/rooms/{}/members",
            "/rooms/{}/messages",
            "/rooms/{}/relations/{}",
            "/rooms/{}/relations/{}/{}",
            "/rooms/{}/relations/{}/{}/{}",
            "/rooms/{}/state",
            "/rooms/{}/state/{}",
            "/rooms/{}/state/{}/",
            "/rooms/{}/state/{}/{}",
            "/summary/{}",
            "/sync",
            "/thirdparty/location",
            "/thirdparty/location/{}",
            "/thirdparty/protocol/{}",
            "/thirdparty/protocols",
            "/thirdparty/user",
            "/thirdparty/user/{}",
            "/voip/turnServer",
        ],
    ),
    (
        "POST",
        &[
            // They concern what guests never have, and say so.
            "/account/3pid/bind",
            "/account/3pid/delete",
            "/delayed_events/{}",
            "/delayed_events/{}/cancel",
            "/delayed_events/{}/restart",
            "/delayed_events/{}/send",
            "/join/{}",
            "/keys/claim",
            "/keys/query",
            "/keys/signatures/upload",
            "/keys/upload",
            "/logout",
            "/publicRooms",
            "/rooms/{}/join",
            "/rooms/{}/leave",
            "/sync",
        ],
    ),
    (
        "PUT",
        &[
            "/devices/{}",
            "/profile/{}/{}",
            "/rooms/{}/delayed_event/{}/{}",
            "/rooms/{}/send/{}/{}",
            "/rooms/{}/state/{}",
            "/rooms/{}/state/{}/",
            "/rooms/{}/state/{}/{}",
            "/sendToDevice/{}/{}",
        ],
    ),
    ("DELETE", &["/profile/{}/{}"]),
];

/// Whether a guest may ask this.
pub(crate) fn may(request: &Parts) -> bool {
    let (route, path) = (route(request), request.uri.path());
    lists(ALLOWED, request.method.as_str(), route)
        && !is_foreign_profile_field(request, route, path)
}

/// Guests change nothing of their profile but the display name.
fn is_foreign_profile_field(request: &Parts, route: &str, path: &str) -> bool {
    request.method != http::Method::GET
        && route.contains("/profile/")
        && !path.ends_with("/displayname")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_may_what_the_specification_lists() {
        for (method, route) in [
            ("GET", "/_matrix/client/v3/rooms/{room_id}/state"),
            ("GET", "/_matrix/client/r0/rooms/{room_id}/state/{event_type}/{state_key}"),
            ("PUT", "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}"),
            ("POST", "/_matrix/client/v3/keys/upload"),
            ("GET", "/_matrix/client/v1/media/download/{server}/{id}"),
        ] {
            assert!(lists(ALLOWED, method, route), "{method} {route}");
        }
    }

    #[test]
    fn guests_may_nothing_else() {
        for (method, route) in [
            ("POST", "/_matrix/client/v3/createRoom"),
            ("POST", "/_matrix/client/v3/keys/device_signing/upload"),
            ("DELETE", "/_matrix/client/v3/devices/{device_id}"),
            ("GET", "/_matrix/client/v3/pushrules/"),
            ("GET", "/_matrix/client/v3/user/{user_id}/account_data/{event_type}"),
            ("GET", ""),
        ] {
            assert!(!lists(ALLOWED, method, route), "{method} {route}");
        }
    }
}
