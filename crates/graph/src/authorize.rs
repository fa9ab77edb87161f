//! The authorization rules: may this event be part of the room?
//!
//! A server asks three times on receipt (server-server API, checks performed on receipt of a PDU):
//! [`authorize_by_auth_events`] (else reject), [`authorize`] against the state before the event
//! (else reject), [`authorize`] against the current state (else soft-fail). The server's own
//! events need the last of the three only.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
};

use ruma::{
    EventId, UserId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::RoomVersionRules,
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
        events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
    },
};
use serde_json::value::RawValue;

use crate::{Pdu, Refusal, owned};

/// A room state, or the part of one that the rules need: see [`state_needed`].
pub trait StateLookup {
    /// The state event of this type and key.
    fn state_event(&self, kind: &StateEventType, state_key: &str) -> Option<Pdu>;
}

impl<S: BuildHasher> StateLookup for HashMap<(StateEventType, String), Pdu, S> {
    fn state_event(&self, kind: &StateEventType, state_key: &str) -> Option<Pdu> {
        self.get(&(kind.clone(), state_key.to_owned())).cloned()
    }
}

impl StateLookup for BTreeMap<(StateEventType, String), Pdu> {
    fn state_event(&self, kind: &StateEventType, state_key: &str) -> Option<Pdu> {
        self.get(&(kind.clone(), state_key.to_owned())).cloned()
    }
}

impl<T: StateLookup + ?Sized> StateLookup for &T {
    fn state_event(&self, kind: &StateEventType, state_key: &str) -> Option<Pdu> {
        (**self).state_event(kind, state_key)
    }
}

/// The state events that a new event has to name in `auth_events`, as far as they exist
/// (server-server API, auth events selection). Without the create event in version 12 and later.
///
/// # Errors
/// [`Refusal::Malformed`] if the content of a membership event is malformed.
pub fn auth_types(
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
    rules: &RoomVersionRules,
) -> Result<Vec<(StateEventType, String)>, Refusal> {
    auth_types_for_event(kind, sender, state_key, content, &rules.authorization)
        .map_err(Refusal::Malformed)
}

/// The state keys that [`authorize`] looks at for such an event: the [`auth_types`] and, in every
/// version, the create event.
///
/// # Errors
/// As [`auth_types`].
pub fn state_needed(
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
    rules: &RoomVersionRules,
) -> Result<Vec<(StateEventType, String)>, Refusal> {
    let mut needed = auth_types(kind, sender, state_key, content, rules)?;
    let create = (StateEventType::RoomCreate, String::new());
    if *kind != TimelineEventType::RoomCreate && !needed.contains(&create) {
        needed.push(create);
    }
    Ok(needed)
}

/// Checks an event against a room state that holds at least what [`state_needed`] names.
///
/// # Errors
/// [`Refusal::NotAllowed`] with the rule that forbids it; [`Refusal::Malformed`] for the state key
/// of nobody where state has owners ([`crate::OWNED_STATE_VERSIONS`]).
pub fn authorize(
    pdu: &Pdu,
    state: &impl StateLookup,
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    let find = |kind: &StateEventType, key: &str| state.state_event(kind, key);
    let checked = if owned::is_owned(pdu, state) {
        let owned = owned::owned(pdu, state, rules)?;
        check_state_dependent_auth_rules(&rules.authorization, owned, find)
    } else {
        check_state_dependent_auth_rules(&rules.authorization, pdu, find)
    };
    checked.map_err(Refusal::NotAllowed)
}

/// Checks the rules that do not look at a state: the shape of a create event, and whether the
/// auth events are the right ones, of this room, and not rejected themselves.
///
/// `fetch` must know the event's auth events and, in version 12 and later, the create event. An
/// event it does not know counts as a reason to reject, so gather first.
///
/// # Errors
/// [`Refusal::NotAllowed`] with the rule that forbids it.
pub fn check_state_independent(
    pdu: &Pdu,
    fetch: impl Fn(&EventId) -> Option<Pdu>,
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    check_state_independent_auth_rules(&rules.authorization, pdu, fetch)
        .map_err(Refusal::NotAllowed)
}

/// Checks an event against the events it names itself: [`check_state_independent`], then
/// [`authorize`] against the state that the auth events make up.
///
/// # Errors
/// [`Refusal::NotAllowed`] with the rule that forbids it.
pub fn authorize_by_auth_events(
    pdu: &Pdu,
    fetch: impl Fn(&EventId) -> Option<Pdu>,
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    check_state_independent(pdu, &fetch, rules)?;
    let mut state: HashMap<_, _> = pdu
        .auth_events()
        .iter()
        .filter_map(|id| fetch(id))
        .filter_map(|event| Some((event.state_name()?, event)))
        .collect();
    if rules.authorization.room_create_event_id_as_room_id {
        let create_id = EventId::parse(format!("${}", pdu.room_id().strip_sigil()));
        if let Some(create) = create_id.ok().and_then(|id| fetch(&id)) {
            state.insert((StateEventType::RoomCreate, String::new()), create);
        }
    }
    authorize(pdu, &state, rules)
}

/// Power level of a user in a state that holds the create and power levels events.
///
/// # Errors
/// [`Refusal::NotAllowed`] if there is no create event or one of the two is malformed.
pub fn power_level(
    user_id: &UserId,
    state: &impl StateLookup,
    rules: &RoomVersionRules,
) -> Result<UserPowerLevel, Refusal> {
    let create = state
        .state_event(&StateEventType::RoomCreate, "")
        .ok_or_else(|| Refusal::NotAllowed("the room has no create event".to_owned()))?;
    let creators =
        RoomCreateEvent::new(create).creators(&rules.authorization).map_err(Refusal::NotAllowed)?;
    let is_creator = creators.contains(user_id);
    if is_creator && rules.authorization.explicitly_privilege_room_creators {
        return Ok(UserPowerLevel::Infinite);
    }
    match state.state_event(&StateEventType::RoomPowerLevels, "") {
        Some(levels) => RoomPowerLevelsEvent::new(levels)
            .user_power_level(user_id, &rules.authorization)
            .map(UserPowerLevel::Int)
            .map_err(Refusal::NotAllowed),
        // Without power levels the creator has 100 and everyone else 0 (client-server API,
        // m.room.power_levels).
        None if is_creator => Ok(UserPowerLevel::Int(ruma::int!(100))),
        None => Ok(UserPowerLevel::Int(ruma::int!(0))),
    }
}

/// Whether a redaction event may take its target's content away (rooms/v3, handling redactions):
/// its sender has the redact level, or both events come from the same server. The rules above
/// accept redaction events from anyone; this decides whether they have an effect.
///
/// `state` is the state at the redaction; create and power levels are looked at.
pub fn may_redact(
    redaction: &Pdu,
    target: &Pdu,
    state: &impl StateLookup,
    rules: &RoomVersionRules,
) -> bool {
    if redaction.redacts() != Some(target.event_id()) || redaction.room_id() != target.room_id() {
        return false;
    }
    if redaction.sender().server_name() == target.sender().server_name() {
        return true;
    }
    let field = RoomPowerLevelsIntField::Redact;
    let needed = match state.state_event(&StateEventType::RoomPowerLevels, "") {
        Some(levels) => {
            RoomPowerLevelsEvent::new(levels).get_as_int_or_default(field, &rules.authorization)
        }
        None => Ok(field.default_value()),
    };
    match (power_level(redaction.sender(), state, rules), needed) {
        (Ok(level), Ok(needed)) => level >= needed,
        _ => false,
    }
}
