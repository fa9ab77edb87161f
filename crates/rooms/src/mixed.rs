//! Rooms with people of servers that ours has nothing to do with (`docs/decisions/0033`).
//!
//! Who stands in the room's state is counted anyway. Where nothing of strangers is taken, their
//! joins are not part of the state that we keep: that somebody told us of them is noted beside it.

mod told;

use std::collections::BTreeSet;

use blaupause_graph::{Draft, Pdu};
use ruma::{
    OwnedServerName, OwnedUserId, RoomId, ServerName,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use told::ToldStrangers;

use crate::{Rooms, RoomsError, append::Appending};

/// Servers that are named to somebody who may not come in, or not speak, because of them.
const NAMED_MAX: usize = 5;

/// What is looked at of a state event.
#[derive(Deserialize)]
struct StateEvent {
    #[serde(rename = "type")]
    kind: String,
    sender: Option<OwnedUserId>,
    state_key: Option<String>,
    content: Option<MemberContent>,
}

#[derive(Deserialize)]
struct MemberContent {
    membership: Option<String>,
}

impl Rooms {
    /// May our people come into this room? `told`: events of its state and what they rest on,
    /// whole or stripped; `servers`: those that another server says are in it.
    ///
    /// # Errors
    /// [`RoomsError::MixedRoom`].
    pub(crate) fn must_be_enterable<'a>(
        &self,
        room: &RoomId,
        told: impl IntoIterator<Item = &'a RawValue>,
        servers: &[OwnedServerName],
    ) -> Result<(), RoomsError> {
        let policy = self.federation().servers();
        if policy.may_enter_mixed() {
            return Ok(());
        }
        let mut all = servers_of(told);
        all.extend(servers.iter().cloned());
        // Up to version 11 the name of a room says who made it.
        all.extend(room.server_name().map(ToOwned::to_owned));
        unmixed(&policy.strangers(self.data().server_name(), &all))
    }

    /// Who lets one of our people in (restricted rooms) must be of a server of ours.
    ///
    /// # Errors
    /// [`RoomsError::MixedRoom`].
    pub(crate) fn must_be_vouched_by_ours(&self, join: &Pdu) -> Result<(), RoomsError> {
        #[derive(Deserialize)]
        struct Content {
            join_authorised_via_users_server: OwnedUserId,
        }
        let Ok(content) = join.content_as::<Content>() else { return Ok(()) };
        let server = content.join_authorised_via_users_server.server_name().to_owned();
        match self.federation().permits(&server) {
            Ok(()) => Ok(()),
            Err(_) => unmixed(&[&server]),
        }
    }
}

impl Appending<'_> {
    /// Where strangers are in the room, nothing of ours goes in but what makes us part: somebody
    /// goes, strangers are sent away, or their servers are kept out.
    ///
    /// # Errors
    /// [`RoomsError::MixedRoom`].
    pub(crate) async fn must_not_reach_strangers(
        &mut self,
        draft: &Draft,
    ) -> Result<(), RoomsError> {
        let rooms = self.rooms;
        let policy = rooms.federation().servers();
        let is_new = self.hot.version == 0;
        if policy.may_speak_mixed()
            || is_new
            || !rooms.data().is_local(&draft.sender)
            || makes_us_part(draft)
        {
            return Ok(());
        }
        let mut servers: BTreeSet<OwnedServerName> =
            rooms.data().servers_in(&self.head.room_id).await?.into_iter().collect();
        servers.extend(self.told_strangers().await?);
        unmixed(&policy.strangers(rooms.data().server_name(), &servers))
    }

    /// Servers of strangers that the room's state does not know of. A later event of the state
    /// about one of them says more than what was told.
    async fn told_strangers(&mut self) -> Result<Vec<OwnedServerName>, RoomsError> {
        let told = self.rooms.told_strangers(&self.head.room_id).await?;
        let joined: Vec<_> = told.iter().filter(|(_, stranger)| stranger.is_joined).collect();
        let name = |user: &OwnedUserId| (StateEventType::RoomMember, user.to_string());
        let names: Vec<_> = joined.iter().map(|(user, _)| name(user)).collect();
        self.look_up(&names).await?;
        let still = joined.into_iter().filter(|(user, stranger)| {
            let known = self.state(&StateEventType::RoomMember, user.as_str());
            known.is_none_or(|known| known.depth() < stranger.depth)
        });
        Ok(still.map(|(user, _)| user.server_name().to_owned()).collect())
    }
}

/// Whether an event only takes people or servers out of a room.
fn makes_us_part(draft: &Draft) -> bool {
    match (&draft.kind, &draft.state_key) {
        (TimelineEventType::RoomServerAcl, Some(_)) => true,
        (TimelineEventType::RoomMember, Some(_)) => {
            let content = serde_json::from_str::<MemberContent>(draft.content.get());
            let membership = content.ok().and_then(|content| content.membership);
            matches!(membership.as_deref(), Some("leave" | "ban"))
        }
        _ => false,
    }
}

fn unmixed(strangers: &[&OwnedServerName]) -> Result<(), RoomsError> {
    if strangers.is_empty() {
        return Ok(());
    }
    let named = strangers.iter().take(NAMED_MAX).map(|server| server.as_str());
    Err(RoomsError::MixedRoom(named.collect::<Vec<_>>().join(", ")))
}

/// The servers of the people who are joined in a state, and of those who said anything in it. Pure.
fn servers_of<'a>(told: impl IntoIterator<Item = &'a RawValue>) -> BTreeSet<OwnedServerName> {
    let mut servers = BTreeSet::new();
    let mut add = |server: &ServerName| {
        if !servers.contains(server) {
            servers.insert(server.to_owned());
        }
    };
    for event in told {
        let Ok(event) = serde_json::from_str::<StateEvent>(event.get()) else { continue };
        if let Some(sender) = &event.sender {
            add(sender.server_name());
        }
        let membership = event.content.and_then(|content| content.membership);
        if event.kind == "m.room.member"
            && membership.as_deref() == Some("join")
            && let Some(user) = event.state_key.and_then(|key| OwnedUserId::try_from(key).ok())
        {
            add(user.server_name());
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn raw(json: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(json).expect("JSON")
    }

    #[test]
    fn who_is_joined_and_who_said_anything_counts_as_part_of_a_room() {
        let member = |by: &str, user: &str, membership: &str| {
            let content = json!({ "membership": membership });
            let kind = "m.room.member";
            raw(&json!({ "type": kind, "sender": by, "state_key": user, "content": content }))
        };
        let state = [
            member("@a:a.example", "@a:a.example", "join"),
            member("@a:a.example", "@b:a.example", "invite"),
            member("@c:c.example:8448", "@c:c.example:8448", "join"),
            // Sent away, banned, invited: they said nothing.
            member("@a:a.example", "@d:d.example", "leave"),
            member("@a:a.example", "@e:e.example", "ban"),
            member("@a:a.example", "@f:f.example", "invite"),
            // Gone by themselves.
            member("@g:g.example", "@g:g.example", "leave"),
            member("nobody", "nobody", "join"),
            raw(&json!({ "type": "m.room.topic", "sender": "@h:h.example", "content": {} })),
            raw(&json!({ "type": "m.room.topic", "content": { "membership": 5 } })),
            raw(&json!(5)),
        ];
        let servers = servers_of(state.iter().map(|event| &**event));
        let servers: Vec<&str> = servers.iter().map(|server| server.as_str()).collect();
        assert_eq!(servers, ["a.example", "c.example:8448", "g.example", "h.example"]);
    }

    #[test]
    fn only_what_makes_us_part_is_said_among_strangers() {
        let says = |kind: &str, key: Option<&str>, content: Value| {
            let user = ruma::user_id!("@me:example.org").to_owned();
            let now = ruma::MilliSecondsSinceUnixEpoch(ruma::UInt::from(1_u32));
            let draft = Draft::new(None, user, kind.into(), raw(&content), now);
            makes_us_part(&key.iter().fold(draft, |draft, key| draft.state_key(*key)))
        };
        for membership in ["leave", "ban"] {
            assert!(says("m.room.member", Some("@x:x"), json!({ "membership": membership })));
        }
        assert!(says("m.room.server_acl", Some(""), json!({})));
        assert!(!says("m.room.member", Some("@x:x"), json!({ "membership": "invite" })));
        assert!(!says("m.room.member", Some("@me:example.org"), json!({ "membership": "join" })));
        assert!(!says("m.room.member", None, json!({ "membership": "leave" })));
        assert!(!says("m.room.message", None, json!({ "body": "hello" })));
        assert!(!says("m.room.topic", Some(""), json!({ "topic": "hello" })));
    }
}
