//! Which servers a room admits (`m.room.server_acl`; server-server API, "Server Access Control
//! Lists").

use blaupause_data::Event;
use ruma::{
    RoomId, ServerName,
    events::{StateEventType, room::server_acl::RoomServerAclEventContent},
};
use serde_json::{Map, Value};

use crate::{Rooms, RoomsError};

impl Rooms {
    /// Whether the room admits a server. A room without a list admits all, and our own server is
    /// admitted always: it would lock itself out of its own room.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn acl_allows(&self, room: &RoomId, server: &ServerName) -> Result<bool, RoomsError> {
        if server == self.data().server_name() {
            return Ok(true);
        }
        let name = (StateEventType::RoomServerAcl, String::new());
        let event = self.current_state(room, &[name]).await?.pop().flatten();
        Ok(event.is_none_or(|event| access_list(&event).is_allowed(server)))
    }
}

fn access_list(event: &Event) -> RoomServerAclEventContent {
    access_list_in(event.content().get())
}

/// The list that a content gives. What has a wrong type says nothing, and a list that allows
/// nobody allows nobody: a broken list must not open the room.
pub(crate) fn access_list_in(content: &str) -> RoomServerAclEventContent {
    let content: Map<String, Value> = serde_json::from_str(content).unwrap_or_default();
    let texts = |field: &str| -> Vec<String> {
        let list = content.get(field).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(ToOwned::to_owned).collect()
    };
    let literals = content.get("allow_ip_literals").and_then(Value::as_bool).unwrap_or(true);
    RoomServerAclEventContent::new(literals, texts("allow"), texts("deny"))
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::access_list_in;

    #[test]
    fn a_list_with_wrong_types_opens_nothing() {
        let evil = server_name!("evil.example");
        for content in ["{}", r#"{"allow":"*"}"#, r#"{"allow":[1]}"#, "[]", "nonsense"] {
            assert!(!access_list_in(content).is_allowed(evil), "{content}");
        }
        assert!(access_list_in(r#"{"allow":["*"],"deny":"evil.example"}"#).is_allowed(evil));
        assert!(!access_list_in(r#"{"allow":["*"],"deny":["EVIL.*"]}"#).is_allowed(evil));
    }
}
