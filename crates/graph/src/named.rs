//! How events name other events, and themselves. Until room version 2 the sender chose the id,
//! which stands in the event, and other events were named with their hashes beside them (spec:
//! rooms/v1, "Event format"). Since version 3 the id is the event's hash, and says it all.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId, ServerName,
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
    signatures::{content_hash, reference_hash},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::Refusal;

/// Events as another one names them, in whatever form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Vec<Named>")]
pub struct NamedEvents {
    /// Their ids, in the order in which they were named.
    pub ids: Vec<OwnedEventId>,
    /// All have the form of versions 1 and 2.
    all_pairs: bool,
    /// All have the form of versions 3 and later.
    all_plain: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Plain(OwnedEventId),
    /// The hashes that stand beside the id are nothing that anybody can rely upon.
    Pair(OwnedEventId, IgnoredAny),
}

impl From<Vec<Named>> for NamedEvents {
    fn from(named: Vec<Named>) -> Self {
        let all_pairs = named.iter().all(|it| matches!(it, Named::Pair(..)));
        let all_plain = named.iter().all(|it| matches!(it, Named::Plain(_)));
        let ids = named.into_iter().map(|it| match it {
            Named::Plain(id) | Named::Pair(id, IgnoredAny) => id,
        });
        Self { ids: ids.collect(), all_pairs, all_plain }
    }
}

impl NamedEvents {
    /// The ids, if they are named as the room version wants it.
    pub(crate) fn of_version(self, rules: &RoomVersionRules) -> Result<Vec<OwnedEventId>, Refusal> {
        let fits = if names_pairs(rules) { self.all_pairs } else { self.all_plain };
        if fits {
            return Ok(self.ids);
        }
        Err(Refusal::Malformed("events are named as in another room version".to_owned()))
    }
}

/// Events named as the room version wants it. The hashes of versions 1 and 2 are left empty: events
/// are known by their ids, and believed by their signatures.
pub(crate) fn named<'a>(
    ids: impl Iterator<Item = &'a EventId>,
    rules: &RoomVersionRules,
) -> CanonicalJsonValue {
    let pairs = names_pairs(rules);
    let named = ids.map(|id| {
        let id = CanonicalJsonValue::String(id.to_string());
        match pairs {
            true => CanonicalJsonValue::Array(vec![
                id,
                CanonicalJsonValue::Object(CanonicalJsonObject::new()),
            ]),
            false => id,
        }
    });
    CanonicalJsonValue::Array(named.collect())
}

fn names_pairs(rules: &RoomVersionRules) -> bool {
    rules.events_reference_format == EventsReferenceFormatVersion::V1
}

/// Gives an event of ours its id, where that is chosen: from what it says, so that the same event
/// gets the same id.
pub(crate) fn choose_id(
    event: &mut CanonicalJsonObject,
    server_name: &ServerName,
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    if rules.event_id_format != EventIdFormatVersion::V1 {
        return Ok(());
    }
    let hash = content_hash(event).map_err(Refusal::malformed)?.encode();
    // What is no letter or digit would only be escaped all the time.
    let name: String = hash.chars().filter(char::is_ascii_alphanumeric).collect();
    let id = format!("${name}:{server_name}");
    event.insert("event_id".to_owned(), CanonicalJsonValue::String(id));
    Ok(())
}

/// Id of an event from its JSON: what it says, or `$` and its reference hash.
pub(crate) fn event_id_of(
    event: &CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<OwnedEventId, Refusal> {
    if rules.event_id_format == EventIdFormatVersion::V1 {
        let id = event.get("event_id").and_then(CanonicalJsonValue::as_str).unwrap_or_default();
        let id = EventId::parse(id).map_err(Refusal::malformed)?;
        return match id.server_name() {
            Some(_) => Ok(id),
            None => Err(Refusal::Malformed("`event_id` names no server".to_owned())),
        };
    }
    let hash = reference_hash(event, rules).map_err(Refusal::malformed)?;
    EventId::parse(format!("${hash}")).map_err(Refusal::malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str, rules: &RoomVersionRules) -> Result<usize, String> {
        let named: NamedEvents = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(named.of_version(rules).map_err(|error| error.to_string())?.len())
    }

    #[test]
    fn each_version_has_its_form() {
        let plain = r#"["$a", "$b"]"#;
        let pairs = r#"[["$a:x.org", {"sha256": "abc"}], ["$b:x.org", {}]]"#;
        let both = r#"["$a", ["$b:x.org", {}]]"#;
        let (old, new) = (RoomVersionRules::V2, RoomVersionRules::V3);
        assert_eq!((parsed(plain, &new), parsed(pairs, &old)), (Ok(2), Ok(2)));
        assert_eq!((parsed("[]", &new), parsed("[]", &old)), (Ok(0), Ok(0)));
        for (json, rules) in [(plain, &old), (pairs, &new), (both, &old), (both, &new)] {
            assert!(parsed(json, rules).is_err(), "{json}");
        }
        assert!(parsed(r#"[["$a:x.org"]]"#, &old).is_err());
        assert!(parsed("[5]", &old).is_err());
    }
}
