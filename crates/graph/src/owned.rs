//! Owned state (MSC3757): room versions in which a state key that begins with somebody's user id
//! and goes on with `_` belongs to them. Nobody overwrites it but they and those with a greater
//! power level.
//!
//! Only the third of the proposal's changes is not made: state keys stay at 255 bytes in all. And
//! where states are merged ([`crate::merge`]), the plain rule of the version decides, under which
//! owned state is nobody's: a conflict over it is lost by both sides.

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::Event,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Pdu, Refusal, StateLookup, power_level};

/// The versions by name, and those whose rules they build upon.
pub const OWNED_STATE_VERSIONS: [(&str, RoomVersionId); 2] =
    [("org.matrix.msc3757.10", RoomVersionId::V10), ("org.matrix.msc3757.11", RoomVersionId::V11)];

/// The rules of a room version, these two included; `None` if it is not known.
pub fn rules_of(version: &RoomVersionId) -> Option<RoomVersionRules> {
    let known = OWNED_STATE_VERSIONS.iter().find(|(name, _)| *name == version.as_str());
    known.map_or(version, |(_, base)| base).rules()
}

/// An event whose state key its sender may use, as if it were their own.
pub(crate) struct Owned<'a>(&'a Pdu);

/// Whether a state key is one that these versions look at in another way. The key of a membership
/// names who it is about.
pub(crate) fn is_owned(pdu: &Pdu, state: &impl StateLookup) -> bool {
    let others = |key: &str| key.starts_with('@') && key != pdu.sender().as_str();
    pdu.state_key().is_some_and(others)
        && *pdu.kind() != TimelineEventType::RoomMember
        && state.state_event(&StateEventType::RoomCreate, "").is_some_and(|it| is_of_version(&it))
}

/// Checks the owner.
pub(crate) fn owned<'a>(
    pdu: &'a Pdu,
    state: &impl StateLookup,
    rules: &RoomVersionRules,
) -> Result<Owned<'a>, Refusal> {
    let key = pdu.state_key().unwrap_or_default();
    let owner = owner_in(key)
        .ok_or_else(|| Refusal::Malformed("the state key begins with no user id".to_owned()))?;
    let may = owner == pdu.sender()
        || power_level(pdu.sender(), state, rules)? > power_level(owner, state, rules)?;
    if may { Ok(Owned(pdu)) } else { Err(Refusal::NotAllowed("it is not their state".to_owned())) }
}

fn is_of_version(create: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        room_version: Option<String>,
    }
    let content = create.content_as::<Content>().ok();
    let version = content.and_then(|content| content.room_version);
    version.is_some_and(|version| OWNED_STATE_VERSIONS.iter().any(|(name, _)| *name == version))
}

/// Up to the first `_` in the server's name, which has none.
fn owner_in(key: &str) -> Option<&UserId> {
    let server = key.find(':')?;
    let end = key[server..].find('_').map_or(key.len(), |end| server + end);
    <&UserId>::try_from(&key[..end]).ok()
}

impl Event for Owned<'_> {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        Event::event_id(self.0)
    }

    fn room_id(&self) -> Option<&RoomId> {
        Event::room_id(self.0)
    }

    fn sender(&self) -> &UserId {
        self.0.sender()
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.0.origin_server_ts()
    }

    fn event_type(&self) -> &TimelineEventType {
        self.0.kind()
    }

    fn content(&self) -> &RawValue {
        self.0.content()
    }

    fn state_key(&self) -> Option<&str> {
        Some(self.0.sender().as_str())
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Event::prev_events(self.0)
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Event::auth_events(self.0)
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        Event::redacts(self.0)
    }

    fn rejected(&self) -> bool {
        self.0.rejected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_ends_where_an_underscore_follows_the_server() {
        let owner = |key| owner_in(key).map(UserId::as_str);
        assert_eq!(owner("@a:x.org"), Some("@a:x.org"));
        assert_eq!(owner("@a_b:x.org_device:1"), Some("@a_b:x.org"));
        assert_eq!(owner("@a:x.orgdevice"), Some("@a:x.orgdevice"), "somebody else");
        assert_eq!(owner("@a:x.org.evil.org_1"), Some("@a:x.org.evil.org"), "somebody else");
        for nobody in ["@oops", "@a:x@y_1", "@a:_x"] {
            assert_eq!(owner(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn the_versions_have_the_rules_they_build_upon() {
        for (name, base) in OWNED_STATE_VERSIONS {
            let rules = rules_of(&RoomVersionId::try_from(name).expect("a name"));
            assert_eq!(format!("{rules:?}"), format!("{:?}", base.rules()));
        }
        assert!(rules_of(&RoomVersionId::try_from("org.example.1").expect("a name")).is_none());
    }
}
