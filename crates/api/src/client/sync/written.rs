//! The answer of `/sync` as JSON.
//!
//! ruma leaves out what has its default value. Clients and test suites rely on `limited` in each
//! timeline, and on `account_data` and `ephemeral` in each joined room (client-server API, "GET
//! /sync": they are objects with `events`), so they are always written here.

use std::collections::BTreeMap;

use ruma::{
    OneTimeKeyAlgorithm, OwnedEventId, OwnedRoomId, RoomId, UInt,
    api::client::sync::sync_events::{DeviceLists, UnreadNotificationsCount, v3},
};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Whole<'a> {
    next_batch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Rooms<'a>>,
    #[serde(skip_serializing_if = "v3::Presence::is_empty")]
    presence: &'a v3::Presence,
    #[serde(skip_serializing_if = "v3::GlobalAccountData::is_empty")]
    account_data: &'a v3::GlobalAccountData,
    #[serde(skip_serializing_if = "v3::ToDevice::is_empty")]
    to_device: &'a v3::ToDevice,
    #[serde(skip_serializing_if = "DeviceLists::is_empty")]
    device_lists: &'a DeviceLists,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    device_one_time_keys_count: &'a BTreeMap<OneTimeKeyAlgorithm, UInt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_unused_fallback_key_types: &'a Option<Vec<OneTimeKeyAlgorithm>>,
}

#[derive(Serialize)]
struct Rooms<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    leave: BTreeMap<&'a RoomId, Left<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    join: BTreeMap<&'a RoomId, Joined<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    invite: &'a BTreeMap<OwnedRoomId, v3::InvitedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    knock: &'a BTreeMap<OwnedRoomId, v3::KnockedRoom>,
}

#[derive(Serialize)]
struct Joined<'a> {
    #[serde(skip_serializing_if = "v3::RoomSummary::is_empty")]
    summary: &'a v3::RoomSummary,
    #[serde(skip_serializing_if = "UnreadNotificationsCount::is_empty")]
    unread_notifications: &'a UnreadNotificationsCount,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unread_thread_notifications: &'a BTreeMap<OwnedEventId, UnreadNotificationsCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Timeline<'a>>,
    #[serde(flatten)]
    state: StateBefore<'a>,
    account_data: Events<'a>,
    ephemeral: Events<'a>,
    #[serde(rename = "msc4354_sticky", skip_serializing_if = "v3::Sticky::is_empty")]
    sticky: &'a v3::Sticky,
}

#[derive(Serialize)]
struct Left<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Timeline<'a>>,
    #[serde(flatten)]
    state: StateBefore<'a>,
    #[serde(skip_serializing_if = "v3::RoomAccountData::is_empty")]
    account_data: &'a v3::RoomAccountData,
}

#[derive(Serialize)]
struct Timeline<'a> {
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: &'a Option<String>,
    events: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Events<'a> {
    events: Vec<&'a RawValue>,
}

/// One of both: with `use_state_after` the second.
#[derive(Serialize)]
struct StateBefore<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a v3::StateEvents>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_after: Option<&'a v3::StateEvents>,
}

pub(super) fn written(response: &v3::Response) -> serde_json::Result<Vec<u8>> {
    let rooms = &response.rooms;
    serde_json::to_vec(&Whole {
        next_batch: &response.next_batch,
        rooms: (!rooms.is_empty()).then(|| Rooms {
            leave: rooms.leave.iter().map(|(id, room)| (&**id, left(room))).collect(),
            join: rooms.join.iter().map(|(id, room)| (&**id, joined(room))).collect(),
            invite: &rooms.invite,
            knock: &rooms.knock,
        }),
        presence: &response.presence,
        account_data: &response.account_data,
        to_device: &response.to_device,
        device_lists: &response.device_lists,
        device_one_time_keys_count: &response.device_one_time_keys_count,
        device_unused_fallback_key_types: &response.device_unused_fallback_key_types,
    })
}

fn joined(room: &v3::JoinedRoom) -> Joined<'_> {
    Joined {
        summary: &room.summary,
        unread_notifications: &room.unread_notifications,
        unread_thread_notifications: &room.unread_thread_notifications,
        timeline: timeline(&room.timeline),
        state: state(&room.state),
        account_data: Events {
            events: room.account_data.events.iter().map(|event| event.json()).collect(),
        },
        ephemeral: Events {
            events: room.ephemeral.events.iter().map(|event| event.json()).collect(),
        },
        sticky: &room.sticky,
    }
}

fn left(room: &v3::LeftRoom) -> Left<'_> {
    Left {
        timeline: timeline(&room.timeline),
        state: state(&room.state),
        account_data: &room.account_data,
    }
}

fn timeline(timeline: &v3::Timeline) -> Option<Timeline<'_>> {
    (!timeline.is_empty()).then(|| Timeline {
        limited: timeline.limited,
        prev_batch: &timeline.prev_batch,
        events: timeline.events.iter().map(|event| event.json()).collect(),
    })
}

fn state(state: &v3::State) -> StateBefore<'_> {
    match state {
        v3::State::Before(events) => {
            StateBefore { state: (!events.is_empty()).then_some(events), state_after: None }
        }
        v3::State::After(events) => StateBefore { state: None, state_after: Some(events) },
        _ => StateBefore { state: None, state_after: None },
    }
}

#[cfg(test)]
mod tests {
    use ruma::{api::OutgoingResponseExt, owned_event_id, owned_user_id, room_id, serde::Raw};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_timeline_says_whether_it_is_limited_and_a_joined_room_has_its_parts() {
        let mut response = v3::Response::new("s1".to_owned());
        let mut room = v3::JoinedRoom::new();
        room.timeline.prev_batch = Some("t1".to_owned());
        response.rooms.join.insert(room_id!("!a:b.example").to_owned(), room);
        let json: Value =
            serde_json::from_slice(&written(&response).expect("has a JSON form")).expect("is JSON");
        let expected = json!({ "next_batch": "s1", "rooms": { "join": { "!a:b.example": {
            "timeline": { "limited": false, "prev_batch": "t1", "events": [] },
            "account_data": { "events": [] },
            "ephemeral": { "events": [] },
        } } } });
        assert_eq!(json, expected);
    }

    fn raw<T>(json: &Value) -> Vec<Raw<T>> {
        let json = serde_json::value::to_raw_value(json).expect("has a JSON form");
        vec![Raw::from_json(json)]
    }

    fn full_timeline() -> v3::Timeline {
        let mut timeline = v3::Timeline::new();
        timeline.limited = true;
        timeline.prev_batch = Some("t1".to_owned());
        timeline.events = raw(&json!({ "type": "x" }));
        timeline
    }

    /// As ruma writes it, where nothing has its default value.
    #[test]
    fn everything_that_ruma_writes_is_written() {
        let mut all = v3::Response::new("s2".to_owned());
        let count = || {
            let mut count = UnreadNotificationsCount::new();
            count.notification_count = Some(ruma::uint!(2));
            count
        };
        let mut state = v3::StateEvents::new();
        state.events = raw(&json!({ "type": "y", "state_key": "" }));
        let mut joined = v3::JoinedRoom::new();
        joined.summary.joined_member_count = Some(ruma::uint!(2));
        joined.unread_notifications = count();
        joined.unread_thread_notifications.insert(owned_event_id!("$r"), count());
        joined.timeline = full_timeline();
        joined.state = v3::State::After(state.clone());
        joined.account_data.events = raw(&json!({ "type": "m.tag", "content": {} }));
        joined.ephemeral.events = raw(&json!({ "type": "m.typing", "content": {} }));
        joined.sticky.events = raw(&json!({ "type": "z" }));
        let mut left = v3::LeftRoom::new();
        left.timeline = full_timeline();
        left.state = v3::State::Before(state);
        left.account_data.events = raw(&json!({ "type": "m.tag", "content": {} }));
        let mut invited = v3::InvitedRoom::new();
        invited.invite_state.events = raw(&json!({ "type": "i" }));
        let mut knocked = v3::KnockedRoom::new();
        knocked.knock_state.events = raw(&json!({ "type": "k" }));
        let room = |name: &str| OwnedRoomId::try_from(format!("!{name}:b.example")).expect("an id");
        all.rooms.join.insert(room("a"), joined);
        all.rooms.leave.insert(room("c"), left);
        all.rooms.invite.insert(room("d"), invited);
        all.rooms.knock.insert(room("e"), knocked);
        all.presence.events = raw(&json!({ "type": "m.presence" }));
        all.account_data.events = raw(&json!({ "type": "m.direct", "content": {} }));
        all.to_device.events = raw(&json!({ "type": "m.dummy" }));
        all.device_lists.changed = vec![owned_user_id!("@a:b.example")];
        let algorithm = OneTimeKeyAlgorithm::SignedCurve25519;
        all.device_one_time_keys_count.insert(algorithm.clone(), ruma::uint!(3));
        all.device_unused_fallback_key_types = Some(vec![algorithm]);
        let written: Value =
            serde_json::from_slice(&written(&all).expect("has a JSON form")).expect("is JSON");
        let http = all.try_into_http_response::<Vec<u8>>().expect("has a JSON form");
        let expected: Value = serde_json::from_slice(http.body()).expect("is JSON");
        assert_eq!(written, expected);
    }
}
