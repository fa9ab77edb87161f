//! The template of an event that another server gives us to sign: nothing of it is believed but
//! where in the room the event belongs (CVE-2026-24471).

use blaupause_graph::{Draft, NamedEvents, Parents, order};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::validate;

/// Parents and auth events that an event may name (server-server API, "PDUs").
const PREV_EVENTS_MAX: usize = 20;
const AUTH_EVENTS_MAX: usize = 10;

/// What we want to say in a room that we do not know.
pub(super) struct Wanted<'a> {
    pub room: &'a RoomId,
    pub user: &'a UserId,
    pub membership: &'static str,
    pub content: &'a Map<String, Value>,
    pub now: MilliSecondsSinceUnixEpoch,
}

#[derive(Deserialize)]
struct Template {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: String,
    content: Content,
    prev_events: NamedEvents,
    auth_events: NamedEvents,
    depth: u64,
}

#[derive(Deserialize)]
struct Content {
    membership: String,
    #[serde(rename = "join_authorised_via_users_server")]
    voucher: Option<OwnedUserId>,
}

/// Our own event at the place that the template names. Pure.
///
/// # Errors
/// Why the template is not one for what we want; says nothing of ours.
pub(super) fn rebuild(
    template: &RawValue,
    wanted: &Wanted<'_>,
) -> Result<(Draft, Parents), &'static str> {
    let template: Template =
        serde_json::from_str(template.get()).map_err(|_| "the template is no member event")?;
    let is_ours = template.kind == TimelineEventType::RoomMember
        && template.room_id == wanted.room
        && template.sender == wanted.user
        && template.state_key == wanted.user.as_str()
        && template.content.membership == wanted.membership;
    if !is_ours {
        return Err("the template is for something else");
    }
    if template.prev_events.ids.is_empty()
        || template.prev_events.ids.len() > PREV_EVENTS_MAX
        || template.auth_events.ids.len() > AUTH_EVENTS_MAX
        || template.depth > order::DEPTH_MAX
    {
        return Err("the template names no place in the room");
    }
    let mut content = wanted.content.clone();
    content.insert("membership".to_owned(), json!(wanted.membership));
    // Somebody of their server, or of a third one, vouches: whoever it is has to sign.
    if let Some(by) = template.content.voucher.filter(|_| wanted.membership == "join") {
        content.insert("join_authorised_via_users_server".to_owned(), json!(by));
    }
    let content = validate::raw(&content).map_err(|_| "the content is no JSON")?;
    let draft = Draft::new(
        Some(wanted.room.to_owned()),
        wanted.user.to_owned(),
        TimelineEventType::RoomMember,
        content,
        wanted.now,
    );
    let parents = Parents {
        prev_events: template.prev_events.ids,
        auth_events: template.auth_events.ids,
        depth: template.depth,
    };
    Ok((draft.state_key(wanted.user.as_str()), parents))
}

#[cfg(test)]
mod tests {
    use ruma::{UInt, room_id, user_id};

    use super::*;

    fn build(change: impl FnOnce(&mut Value)) -> Result<(Draft, Parents), &'static str> {
        let mut template = json!({
            "type": "m.room.member", "room_id": "!r:peer.example", "sender": "@me:example.org",
            "state_key": "@me:example.org", "content": { "membership": "join" }, "depth": 9,
            "prev_events": ["$p"], "auth_events": ["$a", "$b"], "origin_server_ts": 4,
        });
        change(&mut template);
        let mut content = Map::new();
        content.insert("displayname".to_owned(), json!("Me"));
        let wanted = Wanted {
            room: room_id!("!r:peer.example"),
            user: user_id!("@me:example.org"),
            membership: "join",
            content: &content,
            now: MilliSecondsSinceUnixEpoch(UInt::from(77_u32)),
        };
        rebuild(&serde_json::value::to_raw_value(&template).expect("JSON"), &wanted)
    }

    #[test]
    fn only_the_place_in_the_room_and_who_vouches_are_taken_from_a_template() {
        let (draft, parents) = build(|template| {
            template["content"]["displayname"] = json!("Somebody else");
            template["content"]["join_authorised_via_users_server"] = json!("@mod:peer.example");
            template["content"]["org.evil"] = json!(true);
            template["unsigned"] = json!({ "x": 1 });
            template["redacts"] = json!("$victim");
        })
        .expect("a template for us");
        let content: Value = serde_json::from_str(draft.content.get()).expect("JSON");
        let expected = json!({
            "membership": "join", "displayname": "Me",
            "join_authorised_via_users_server": "@mod:peer.example",
        });
        assert_eq!(content, expected);
        assert_eq!(draft.redacts, None);
        assert_eq!(draft.origin_server_ts.get(), UInt::from(77_u32));
        assert_eq!((parents.prev_events.len(), parents.auth_events.len()), (1, 2));
        assert_eq!(parents.depth, 9);
    }

    #[test]
    fn a_template_for_something_else_is_never_signed() {
        for (field, value) in [
            ("type", json!("m.room.power_levels")),
            ("room_id", json!("!other:peer.example")),
            ("sender", json!("@boss:example.org")),
            ("state_key", json!("@boss:example.org")),
            ("state_key", json!("")),
            ("state_key", Value::Null),
            ("content", json!({ "membership": "leave" })),
            ("content", json!({ "membership": "ban" })),
            ("content", json!({})),
            ("prev_events", json!([])),
            ("prev_events", json!(vec!["$p"; 21])),
            ("auth_events", json!(vec!["$p"; 11])),
            ("auth_events", json!("$a")),
            ("depth", json!(-5)),
            ("depth", json!(u64::MAX)),
            ("depth", json!("9")),
        ] {
            let built = build(|template| template[field] = value.clone());
            assert!(built.is_err(), "{field} {value}");
        }
        let no_room = build(|template| drop(template.as_object_mut().map(|o| o.remove("room_id"))));
        assert!(no_room.is_err());
    }
}
