//! Sizes and shapes that the specification prescribes for every event.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, room_version_rules::RoomVersionRules,
    state_res::check_pdu_format,
};
use serde_json::value::RawValue;

use crate::Refusal;

/// Greatest size of an event as canonical JSON with signatures (client-server API, size limits).
pub const EVENT_SIZE_BYTES_MAX: usize = 65_536;
/// Greatest length of `sender`, `room_id`, `type` and `state_key`.
pub const FIELD_SIZE_BYTES_MAX: usize = 255;
/// Greatest length of `type` and `state_key` together, with NUL counted twice: what goes into a key
/// of the store. Only somebody who wants to break something comes near it.
const STATE_NAME_BYTES_MAX: usize = 900;

/// Reads an object of canonical JSON: no fractions, integers within ±(2^53 − 1), nesting at most
/// 128 levels (where the parser stops, so that hostile nesting cannot overflow the stack).
pub(crate) fn parse_canonical(json: &RawValue) -> Result<CanonicalJsonObject, Refusal> {
    serde_json::from_str(json.get()).map_err(Refusal::malformed)
}

/// Checks size, presence and type of the fields all events have. Returns the canonical JSON text.
pub(crate) fn check_format(
    event: &CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<String, Refusal> {
    let json = serde_json::to_string(event).map_err(Refusal::malformed)?;
    check_size("event", json.len(), EVENT_SIZE_BYTES_MAX)?;
    let (mut is_long, mut name_bytes) = (false, 0);
    for (name, value) in sized_fields(event) {
        is_long |= value.len() > FIELD_SIZE_BYTES_MAX;
        let characters = name == "state_key" && counts_characters(rules);
        let size = if characters { value.chars().count() } else { value.len() };
        check_size(name, size, FIELD_SIZE_BYTES_MAX)?;
        if matches!(name, "type" | "state_key") {
            name_bytes += value.len() + value.bytes().filter(|byte| *byte == 0).count();
        }
    }
    check_size("type and state_key", name_bytes, STATE_NAME_BYTES_MAX)?;
    if !matches!(event.get("content"), Some(CanonicalJsonValue::Object(_))) {
        return Err(Refusal::Malformed("`content` is no object".to_owned()));
    }
    let checked = if is_long || json.len() == EVENT_SIZE_BYTES_MAX {
        // ruma stops one byte earlier than the specification, and always counts bytes; it does not
        // look at the content, nor at what a state key says.
        let mut shape = event.clone();
        shape.remove("content");
        if is_long {
            shape.remove("state_key");
        }
        check_pdu_format(&shape, &rules.event_format)
    } else {
        check_pdu_format(event, &rules.event_format)
    };
    checked.map_err(Refusal::Malformed)?;
    Ok(json)
}

/// What we make ourselves keeps to bytes in every room version.
pub(crate) fn check_bytes(event: &CanonicalJsonObject) -> Result<(), Refusal> {
    sized_fields(event)
        .try_for_each(|(name, value)| check_size(name, value.len(), FIELD_SIZE_BYTES_MAX))
}

fn sized_fields(event: &CanonicalJsonObject) -> impl Iterator<Item = (&'static str, &str)> {
    let names = ["sender", "room_id", "type", "state_key", "event_id"];
    names.into_iter().filter_map(|name| Some((name, event.get(name)?.as_str()?)))
}

/// In rooms of the versions before 11 there are events whose state keys were measured in
/// characters, as servers did for years: who refuses them loses what comes after them. The rules do
/// not say which version they are of; in 11 the creator's name moved.
fn counts_characters(rules: &RoomVersionRules) -> bool {
    !rules.authorization.use_room_create_sender
}

fn check_size(what: &'static str, size_bytes: usize, limit_bytes: usize) -> Result<(), Refusal> {
    if size_bytes > limit_bytes {
        return Err(Refusal::TooLarge { what, size_bytes, limit_bytes });
    }
    Ok(())
}
