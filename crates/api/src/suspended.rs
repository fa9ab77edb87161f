//! What suspended users may do (spec: client-server API, "Account suspension"): read, leave, take
//! back what they said, keep their devices and keys in order, and go. What is not listed here is
//! refused, in this one place for all endpoints.
//!
//! Beyond the specification's list they may do what only they themselves see (account data, push
//! rules, how far they have read), and complain.

use http::{Method, request::Parts};

use crate::{
    allowed::{Allowed, lists, without_names},
    call::route,
};

/// What changes something. Reading is allowed altogether.
const ALLOWED: &Allowed = &[
    (
        "POST",
        &[
            "/account/3pid",
            "/account/3pid/add",
            "/account/deactivate",
            "/account/password",
            "/dehydrated_device/{}/events",
            // Nothing of it is said while they are suspended, but they may take it back.
            "/delayed_events/{}",
            "/delayed_events/{}/cancel",
            "/delete_devices",
            "/keys/claim",
            "/keys/device_signing/upload",
            "/keys/query",
            "/keys/signatures/upload",
            "/keys/upload",
            "/login/get_token",
            "/logout",
            "/logout/all",
            "/publicRooms",
            "/pushers/set",
            "/room_keys/version",
            "/rooms/{}/forget",
            "/rooms/{}/leave",
            "/rooms/{}/read_markers",
            "/rooms/{}/receipt/{}/{}",
            "/rooms/{}/report",
            "/rooms/{}/report/{}",
            "/search",
            "/sync",
            "/user/{}/filter",
            "/user_directory/search",
            "/users/{}/report",
        ],
    ),
    (
        "PUT",
        &[
            "/dehydrated_device",
            "/devices/{}",
            "/pushrules/global/{}/{}",
            "/pushrules/global/{}/{}/actions",
            "/pushrules/global/{}/{}/enabled",
            "/room_keys/keys",
            "/room_keys/keys/{}",
            "/room_keys/keys/{}/{}",
            "/room_keys/version/{}",
            // Their own events only: `blaupause_rooms::Redact::own_only`.
            "/rooms/{}/redact/{}/{}",
            "/sendToDevice/{}/{}",
            "/user/{}/account_data/{}",
            "/user/{}/rooms/{}/account_data/{}",
            "/user/{}/rooms/{}/tags/{}",
        ],
    ),
    (
        "DELETE",
        &[
            "/dehydrated_device",
            "/devices/{}",
            "/pushrules/global/{}/{}",
            "/room_keys/keys",
            "/room_keys/keys/{}",
            "/room_keys/keys/{}/{}",
            "/room_keys/version/{}",
            "/user/{}/account_data/{}",
            "/user/{}/rooms/{}/account_data/{}",
            "/user/{}/rooms/{}/tags/{}",
        ],
    ),
];

/// The one route that sends redactions and everything else.
const SEND: &str = "/rooms/{}/send/{}/{}";
const REDACTION: &str = "m.room.redaction";

/// Whether a suspended user may ask this.
pub(crate) fn may(request: &Parts) -> bool {
    is_allowed(&request.method, route(request), request.uri.path())
}

fn is_allowed(method: &Method, route: &str, path: &str) -> bool {
    // HEAD is GET without a body.
    method == Method::GET
        || method == Method::HEAD
        || lists(ALLOWED, method.as_str(), route)
        || (without_names(route).ends_with(SEND) && sent_kind(path) == Some(REDACTION))
}

/// The event type in the path of [`SEND`], as it stands there: an encoded one is none of ours.
fn sent_kind(path: &str) -> Option<&str> {
    path.rsplit('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(method: &Method, route: &str) -> bool {
        is_allowed(method, route, "")
    }

    #[test]
    fn suspended_people_may_what_the_specification_lists() {
        let client = "/_matrix/client/v3";
        for (method, route) in [
            (Method::GET, "/sync"),
            (Method::GET, "/rooms/{room_id}/messages"),
            (Method::POST, "/keys/device_signing/upload"),
            (Method::PUT, "/sendToDevice/{event_type}/{txn_id}"),
            (Method::PUT, "/room_keys/keys/{room_id}/{session_id}"),
            (Method::POST, "/rooms/{room_id}/leave"),
            (Method::PUT, "/rooms/{room_id}/redact/{event_id}/{txn_id}"),
            (Method::POST, "/logout"),
            (Method::DELETE, "/devices/{device_id}"),
            (Method::POST, "/account/deactivate"),
            (Method::POST, "/account/3pid/add"),
        ] {
            assert!(may(&method, &format!("{client}{route}")), "{method} {route}");
        }
        assert!(may(&Method::POST, "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"));
    }

    #[test]
    fn suspended_people_may_nothing_else() {
        let client = "/_matrix/client/v3";
        for (method, route) in [
            (Method::POST, "/createRoom"),
            (Method::POST, "/join/{room_id_or_alias}"),
            (Method::POST, "/rooms/{room_id}/join"),
            (Method::POST, "/knock/{room_id_or_alias}"),
            (Method::POST, "/rooms/{room_id}/invite"),
            (Method::POST, "/rooms/{room_id}/kick"),
            (Method::POST, "/rooms/{room_id}/ban"),
            (Method::POST, "/rooms/{room_id}/unban"),
            (Method::POST, "/rooms/{room_id}/upgrade"),
            (Method::PUT, "/rooms/{room_id}/state/{event_type}/{state_key}"),
            (Method::PUT, "/rooms/{room_id}/typing/{user_id}"),
            (Method::PUT, "/profile/{user_id}/{field_name}"),
            (Method::DELETE, "/profile/{user_id}/{field_name}"),
            (Method::PUT, "/presence/{user_id}/status"),
            (Method::PUT, "/directory/room/{room_alias}"),
            (Method::DELETE, "/directory/room/{room_alias}"),
            (Method::PUT, "/directory/list/room/{room_id}"),
            (Method::POST, "/account/3pid/delete"),
            (Method::POST, "/user/{user_id}/openid/request_token"),
            (Method::PUT, "/admin/suspend/{user_id}"),
            (Method::POST, ""),
        ] {
            assert!(!may(&method, &format!("{client}{route}")), "{method} {route}");
        }
        assert!(!may(&Method::POST, "/_matrix/media/v3/upload"));
    }

    #[test]
    fn the_send_endpoint_takes_their_redactions_only() {
        let route = "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}";
        let path =
            |kind: &str, txn: &str| format!("/_matrix/client/v3/rooms/!r:x/send/{kind}/{txn}");
        assert!(is_allowed(&Method::PUT, route, &path("m.room.redaction", "1")));
        for (kind, txn) in [
            ("m.room.message", "1"),
            ("m.room.message", "m.room.redaction"),
            ("m%2Eroom.redaction", "1"),
            ("m.room.redaction%2Fx", "1"),
        ] {
            assert!(!is_allowed(&Method::PUT, route, &path(kind, txn)), "{kind}/{txn}");
        }
    }
}
