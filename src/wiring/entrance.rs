//! Who comes in by which door.

use axum::body::Body;
use http::{Response, StatusCode, header};

/// Where the server-server API is.
const SERVERS: [&str; 3] = ["/_matrix/federation/", "/_matrix/key/", "/_matrix/policy/"];
/// What servers look at before they know where to go.
const WAY_TO_SERVERS: &str = "/.well-known/matrix/server";

/// For whom a door is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    Everybody,
    /// Other servers have doors at which they show a certificate: without one nobody is a server.
    Clients,
    Servers,
}

impl Entrance {
    /// Whether what is asked for can be had by this door.
    pub fn is_for(self, path: &str) -> bool {
        let is_of_servers = SERVERS.iter().any(|under| path.starts_with(under));
        match self {
            Self::Everybody => true,
            Self::Clients => !is_of_servers,
            Self::Servers => is_of_servers || path == WAY_TO_SERVERS,
        }
    }
}

/// The specification's answer for what is not served.
pub fn nothing_here() -> Response<Body> {
    const BODY: &str = r#"{"errcode":"M_UNRECOGNIZED","error":"not at this address"}"#;
    let mut response = Response::new(Body::from(BODY));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_in_by_their_own_doors_only_where_they_have_some() {
        for path in [
            "/_matrix/federation/v1/version",
            "/_matrix/key/v2/server",
            "/_matrix/policy/v1/sign",
            "/_matrix/federation/v1/%73end/1",
        ] {
            assert!(Entrance::Everybody.is_for(path) && Entrance::Servers.is_for(path), "{path}");
            assert!(!Entrance::Clients.is_for(path), "{path}");
        }
        for path in ["/_matrix/client/versions", "/account/", "/_synapse/admin/v1/register", "/"] {
            assert!(Entrance::Everybody.is_for(path) && Entrance::Clients.is_for(path), "{path}");
            assert!(!Entrance::Servers.is_for(path), "{path}");
        }
        assert!(Entrance::Servers.is_for("/.well-known/matrix/server"));
        assert!(Entrance::Clients.is_for("/.well-known/matrix/server"));
    }
}
