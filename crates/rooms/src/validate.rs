//! Whether what people send has the shape that its type prescribes.
//!
//! The authorization rules look only at what they need; everything else other people's clients
//! would have to cope with. Types that the specification does not know may hold anything.

use blaupause_graph::Refusal;
use ruma::{
    RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Map, Value, value::RawValue};

use crate::RoomsError;

type Object = Map<String, Value>;

/// The content of an event as an object.
pub(crate) fn object(content: &RawValue) -> Result<Object, RoomsError> {
    serde_json::from_str(content.get()).map_err(|_| bad("the content is no JSON object"))
}

/// Nested levels of a content. JSON readers stop at 128, and others put the event into an envelope.
const NESTING_MAX: usize = 100;

/// Refuses what could be stored but not read again as part of something larger.
pub(crate) fn nesting(content: &RawValue) -> Result<(), RoomsError> {
    let (mut level, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in content.get().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => level += 1,
            b'}' | b']' if !in_text => level = level.saturating_sub(1),
            _ => {}
        }
        if level > NESTING_MAX {
            return Err(bad("the content is nested too deeply"));
        }
    }
    Ok(())
}

pub(crate) fn bad(why: impl Into<String>) -> RoomsError {
    RoomsError::BadContent(why.into())
}

/// A message event.
pub(crate) fn message(kind: &TimelineEventType, content: &RawValue) -> Result<(), RoomsError> {
    if *kind != TimelineEventType::RoomMessage {
        return Ok(());
    }
    let content = object(content)?;
    for name in ["msgtype", "body"] {
        if !content.get(name).is_some_and(Value::is_string) {
            return Err(bad(format!("`{name}` of a message is a text")));
        }
    }
    Ok(())
}

/// A state event. `room` is `None` for a room that is being made.
pub(crate) fn state(
    kind: &StateEventType,
    state_key: &str,
    content: &RawValue,
    room: Option<&RoomId>,
) -> Result<(), RoomsError> {
    // Most state is of types that nobody here knows, and can be large.
    let texts: &[&str] = match kind {
        StateEventType::RoomCreate => {
            return Err(RoomsError::Invalid("a room is created once"));
        }
        StateEventType::RoomName => &["name"],
        StateEventType::RoomTopic => &["topic"],
        StateEventType::RoomAvatar => &["url"],
        StateEventType::RoomGuestAccess => &["guest_access"],
        StateEventType::RoomJoinRules => &["join_rule"],
        StateEventType::RoomHistoryVisibility => &["history_visibility"],
        StateEventType::RoomEncryption => &["algorithm"],
        StateEventType::RoomTombstone => &["replacement_room", "body"],
        StateEventType::RoomCanonicalAlias => &["alias"],
        StateEventType::RoomPowerLevels => &[],
        StateEventType::RoomMember => &["membership", "displayname", "avatar_url", "reason"],
        _ => return Ok(()),
    };
    let content = object(content)?;
    for name in texts {
        if !matches!(content.get(*name), None | Some(Value::Null | Value::String(_))) {
            return Err(bad(format!("`{name}` of {kind} is a text")));
        }
    }
    let required = match kind {
        StateEventType::RoomJoinRules => Some("join_rule"),
        StateEventType::RoomHistoryVisibility => Some("history_visibility"),
        StateEventType::RoomEncryption => Some("algorithm"),
        StateEventType::RoomMember => Some("membership"),
        StateEventType::RoomTombstone => Some("replacement_room"),
        _ => None,
    };
    if let Some(name) = required
        && !content.get(name).is_some_and(Value::is_string)
    {
        return Err(bad(format!("`{name}` of {kind} is missing")));
    }
    match kind {
        StateEventType::RoomTombstone => {
            let replacement = content.get("replacement_room").and_then(Value::as_str);
            if replacement.is_some() && replacement == room.map(RoomId::as_str) {
                return Err(RoomsError::Invalid("a room cannot replace itself"));
            }
        }
        StateEventType::RoomPowerLevels => power_levels(&content)?,
        StateEventType::RoomMember if UserId::parse(state_key).is_err() => {
            return Err(RoomsError::Invalid("the state key of a member is a user id"));
        }
        _ => {}
    }
    Ok(())
}

/// Levels are integers (room version 10; old versions took texts, which nobody needs to send).
pub(crate) fn power_levels(content: &Object) -> Result<(), RoomsError> {
    let is_level = |value: &Value| value.is_i64() || value.is_u64();
    for name in
        ["ban", "events_default", "invite", "kick", "redact", "state_default", "users_default"]
    {
        if !content.get(name).is_none_or(is_level) {
            return Err(bad(format!("the power level `{name}` is an integer")));
        }
    }
    for name in ["events", "notifications", "users"] {
        let Some(levels) = content.get(name) else { continue };
        let Some(levels) = levels.as_object() else {
            return Err(bad(format!("the power levels `{name}` are an object")));
        };
        if !levels.values().all(is_level) {
            return Err(bad(format!("the power levels `{name}` are integers")));
        }
        if name == "users" && !levels.keys().all(|user| UserId::parse(user).is_ok()) {
            return Err(bad("the power levels `users` belong to user ids"));
        }
    }
    Ok(())
}

/// JSON that we made ourselves, as event content.
pub(crate) fn raw(content: &impl serde::Serialize) -> Result<Box<RawValue>, RoomsError> {
    serde_json::value::to_raw_value(content)
        .map_err(|error| Refusal::Malformed(error.to_string()).into())
}
