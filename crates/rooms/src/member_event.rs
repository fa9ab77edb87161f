//! Member events that other servers hand over: read, and compared with what was asked for, before
//! anything is made of them.

use blaupause_graph::{Pdu, Unverified};
use ruma::{
    CanonicalJsonObject, EventId, OwnedUserId, RoomId, ServerName, UserId,
    events::TimelineEventType, room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::RoomsError;

/// Fields without which nothing is an event. Said by name, because the specification has a code
/// for what is missing.
const FIELDS: [&str; 9] = [
    "type",
    "sender",
    "state_key",
    "content",
    "origin_server_ts",
    "auth_events",
    "prev_events",
    "hashes",
    "signatures",
];

/// A member event as it came: its shape is right, its signatures nobody has checked.
#[derive(Debug)]
pub(crate) struct MemberEvent {
    pub unverified: Unverified,
    pub pdu: Pdu,
    pub membership: String,
    /// Who vouches for the join.
    pub voucher: Option<OwnedUserId>,
}

#[derive(Deserialize)]
struct Content {
    membership: String,
    #[serde(rename = "join_authorised_via_users_server")]
    voucher: Option<OwnedUserId>,
}

impl MemberEvent {
    pub(crate) fn read(raw: &RawValue, rules: &RoomVersionRules) -> Result<Self, RoomsError> {
        let mut event: CanonicalJsonObject = serde_json::from_str(raw.get())
            .map_err(|error| RoomsError::BadContent(error.to_string()))?;
        if let Some(missing) = FIELDS.iter().find(|field| !event.contains_key(**field)) {
            return Err(RoomsError::Missing(missing));
        }
        let unverified = Unverified::parse(raw, rules)?;
        event.remove("unsigned");
        let json = serde_json::to_string(&event)
            .map_err(|error| RoomsError::BadContent(error.to_string()))?;
        let pdu = Pdu::from_stored(json, unverified.event_id().to_owned(), rules)?;
        if *pdu.kind() != TimelineEventType::RoomMember {
            return Err(RoomsError::Invalid("this is no membership event"));
        }
        let content: Content =
            pdu.content_as().map_err(|_| RoomsError::Invalid("this is no membership"))?;
        let Content { membership, voucher } = content;
        Ok(Self { unverified, pdu, membership, voucher })
    }

    /// The user whose membership it is.
    pub(crate) fn target(&self) -> Result<&UserId, RoomsError> {
        let wrong = RoomsError::Invalid("the state key of a member is a user id");
        self.pdu.state_key().and_then(|key| <&UserId>::try_from(key).ok()).ok_or(wrong)
    }

    /// It must be the event of this room and id, with this membership, from a user of this server.
    pub(crate) fn must_be(
        &self,
        membership: &'static str,
        room: &RoomId,
        event_id: &EventId,
        origin: &ServerName,
    ) -> Result<(), RoomsError> {
        if self.membership != membership {
            return Err(RoomsError::Invalid("the event gives another membership"));
        }
        if self.pdu.room_id() != room {
            return Err(RoomsError::Invalid("the event is of another room"));
        }
        if self.pdu.event_id() != event_id {
            return Err(RoomsError::Invalid("the event has another id"));
        }
        if self.pdu.sender().server_name() != origin {
            return Err(RoomsError::Forbidden("a server speaks for its own people only"));
        }
        Ok(())
    }

    /// It must be somebody's own doing.
    pub(crate) fn must_be_own(&self) -> Result<(), RoomsError> {
        if self.target()? == self.pdu.sender() {
            Ok(())
        } else {
            Err(RoomsError::Invalid("sender and state key differ"))
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{RoomVersionId, event_id, room_id, server_name};
    use serde_json::{Value, json};

    use super::*;

    fn event(change: impl FnOnce(&mut Value)) -> Result<MemberEvent, RoomsError> {
        let mut event = json!({
            "type": "m.room.member", "sender": "@a:peer.example", "state_key": "@a:peer.example",
            "room_id": "!r:example.org", "content": { "membership": "join" }, "depth": 7,
            "auth_events": [], "prev_events": [], "origin_server_ts": 1,
            "hashes": { "sha256": "AAAA" }, "signatures": { "peer.example": {} },
        });
        change(&mut event);
        let raw = serde_json::value::to_raw_value(&event).expect("JSON");
        MemberEvent::read(&raw, &RoomVersionId::V11.rules().expect("known"))
    }

    #[test]
    fn what_is_missing_is_said_by_name() {
        for field in FIELDS {
            let read = event(|event| drop(event.as_object_mut().expect("object").remove(field)));
            assert!(matches!(read, Err(RoomsError::Missing(missing)) if missing == field));
        }
    }

    #[test]
    fn only_memberships_are_read() {
        assert!(event(|_| {}).is_ok());
        for (field, value) in [
            ("type", json!("m.room.power_levels")),
            ("content", json!({})),
            ("content", json!({ "membership": 5 })),
            ("content", json!("join")),
            ("sender", json!("nobody")),
            ("depth", json!(-1)),
            ("depth", json!(9_007_199_254_740_993_u64)),
        ] {
            let read = event(|event| event[field] = value.clone());
            assert!(read.is_err(), "{field} {value}");
        }
    }

    #[test]
    fn an_event_for_something_else_is_refused() {
        let event = event(|_| {}).expect("well formed");
        let (room, id) = (room_id!("!r:example.org"), event.pdu.event_id().to_owned());
        let peer = server_name!("peer.example");
        assert!(event.must_be("join", room, &id, peer).is_ok());
        assert!(event.must_be("leave", room, &id, peer).is_err());
        assert!(event.must_be("join", room_id!("!other:example.org"), &id, peer).is_err());
        assert!(event.must_be("join", room, event_id!("$other"), peer).is_err());
        assert!(event.must_be("join", room, &id, server_name!("evil.example")).is_err());
    }

    #[test]
    fn nobody_is_made_a_member_by_another() {
        let event = event(|event| event["state_key"] = json!("@b:peer.example"));
        assert!(event.expect("well formed").must_be_own().is_err());
    }
}
