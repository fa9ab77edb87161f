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
    for name in ["sender", "room_id", "type", "state_key"] {
        if let Some(CanonicalJsonValue::String(value)) = event.get(name) {
            check_size(name, value.len(), FIELD_SIZE_BYTES_MAX)?;
        }
    }
    if !matches!(event.get("content"), Some(CanonicalJsonValue::Object(_))) {
        return Err(Refusal::Malformed("`content` is no object".to_owned()));
    }
    let checked = if json.len() == EVENT_SIZE_BYTES_MAX {
        // ruma stops one byte earlier than the specification; it does not look at the content.
        let mut shape = event.clone();
        shape.remove("content");
        check_pdu_format(&shape, &rules.event_format)
    } else {
        check_pdu_format(event, &rules.event_format)
    };
    checked.map_err(Refusal::Malformed)?;
    Ok(json)
}

fn check_size(what: &'static str, size_bytes: usize, limit_bytes: usize) -> Result<(), Refusal> {
    if size_bytes > limit_bytes {
        return Err(Refusal::TooLarge { what, size_bytes, limit_bytes });
    }
    Ok(())
}
