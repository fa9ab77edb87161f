//! Sticky events (MSC4354): for a while they reach everybody in the room, whatever else was said.

use ruma::canonical_json::{CanonicalJsonObject, CanonicalJsonValue};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The field of an event that says how long. It does not survive a redaction.
pub const FIELD: &str = "msc4354_sticky";
/// No event is sticky for longer, in milliseconds.
pub const DURATION_MS_MAX: u64 = 60 * 60 * 1_000;

/// How long an event is sticky, by what its field says; `None` if that says nothing.
pub fn duration_ms(field: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    struct Sticky {
        duration_ms: u64,
    }

    let sticky: Sticky = serde_json::from_str(field.get()).ok()?;
    Some(sticky.duration_ms.min(DURATION_MS_MAX))
}

/// When an event ceases to be sticky: who claims to have sent it in the future gains nothing. All
/// in milliseconds (since the Unix epoch).
pub fn until_ms(received_ms: u64, sent_ms: u64, duration_ms: u64) -> u64 {
    received_ms.min(sent_ms).saturating_add(duration_ms.min(DURATION_MS_MAX))
}

/// The field for a duration.
pub(crate) fn field(duration_ms: u64) -> CanonicalJsonValue {
    let duration = i64::try_from(duration_ms.min(DURATION_MS_MAX)).unwrap_or(i64::MAX);
    let duration = CanonicalJsonValue::Integer(ruma::Int::new_saturating(duration));
    CanonicalJsonValue::Object(CanonicalJsonObject::from([("duration_ms".to_owned(), duration)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Option<u64> {
        duration_ms(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn a_duration_is_a_whole_number_and_at_most_an_hour() {
        assert_eq!(duration(r#"{"duration_ms":60000}"#), Some(60_000));
        assert_eq!(duration(r#"{"duration_ms":0}"#), Some(0));
        assert_eq!(duration(r#"{"duration_ms":3600001}"#), Some(DURATION_MS_MAX));
        for bad in ["{}", "1", "null", r#"{"duration_ms":-1}"#, r#"{"duration_ms":"1"}"#] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_event_from_the_future_is_sticky_from_now_on_only() {
        assert_eq!(until_ms(1_000, 900, 50), 950);
        assert_eq!(until_ms(1_000, 9_000, 50), 1_050);
        assert_eq!(until_ms(0, 0, u64::MAX), DURATION_MS_MAX);
    }
}
