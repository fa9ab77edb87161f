//! Events: [`Pdu`] is a finished one, [`Draft`] is what somebody wants to say.

use std::{fmt, sync::Arc};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::Event,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Refusal, named::NamedEvents, sticky};

/// An event of a room, parsed and immutable; cloning is one atomic increment.
///
/// Having a `Pdu` says that the event has the right shape, nothing about its signatures or rights:
/// those come from where it was made ([`crate::seal`], [`crate::admit`], the own store).
#[derive(Clone)]
pub struct Pdu {
    event: Arc<Parsed>,
    rejected: bool,
}

struct Parsed {
    json: Box<str>,
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    /// `false` only for the create event of version 12, whose room id is made from its own hash.
    room_id_in_json: bool,
    sender: OwnedUserId,
    kind: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    unsigned: Option<Box<RawValue>>,
    sticky_ms: Option<u64>,
}

/// The fields of an event as they lie in its JSON.
#[derive(Deserialize)]
struct Fields<'a> {
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: TimelineEventType,
    state_key: Option<String>,
    #[serde(borrow)]
    content: &'a RawValue,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: ruma::UInt,
    prev_events: NamedEvents,
    auth_events: NamedEvents,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
    #[serde(borrow)]
    unsigned: Option<&'a RawValue>,
    #[serde(borrow, rename = "msc4354_sticky")]
    sticky: Option<&'a RawValue>,
}

impl Pdu {
    /// Parses an event whose id and validity are known, as from the own store; keeps `json` as it is.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if a field of the event format is missing or has the wrong type.
    pub fn from_stored(
        json: impl Into<Box<str>>,
        event_id: OwnedEventId,
        rules: &RoomVersionRules,
    ) -> Result<Self, Refusal> {
        let json = json.into();
        let fields: Fields<'_> = serde_json::from_str(&json).map_err(Refusal::malformed)?;
        if !fields.content.get().starts_with('{') {
            return Err(Refusal::Malformed("`content` is no object".to_owned()));
        }
        let room_id_in_json = fields.room_id.is_some();
        let room_id = match fields.room_id {
            Some(room_id) => room_id,
            None => room_id_of_create(&fields.kind, &event_id, rules)?,
        };
        let redacts = redacted_event(&fields.kind, fields.redacts, fields.content, rules);
        let event = Parsed {
            room_id_in_json,
            room_id,
            sender: fields.sender,
            kind: fields.kind,
            state_key: fields.state_key,
            content: fields.content.to_owned(),
            origin_server_ts: fields.origin_server_ts,
            depth: fields.depth.into(),
            prev_events: fields.prev_events.of_version(rules)?,
            auth_events: fields.auth_events.of_version(rules)?,
            redacts,
            unsigned: fields.unsigned.map(ToOwned::to_owned),
            sticky_ms: fields.sticky.and_then(sticky::duration_ms),
            event_id,
            json,
        };
        Ok(Self { event: Arc::new(event), rejected: false })
    }

    /// The same event, marked as (not) rejected by the authorization rules.
    #[must_use]
    pub fn with_rejected(mut self, rejected: bool) -> Self {
        self.rejected = rejected;
        self
    }

    /// The event's id: `$` and its reference hash, or until room version 2 what its sender chose.
    pub fn event_id(&self) -> &EventId {
        &self.event.event_id
    }

    /// The room; for the create event of version 12 and later made from the event's own id.
    pub fn room_id(&self) -> &RoomId {
        &self.event.room_id
    }

    /// Who sent it.
    pub fn sender(&self) -> &UserId {
        &self.event.sender
    }

    /// The event type (`type` is a Rust keyword).
    pub fn kind(&self) -> &TimelineEventType {
        &self.event.kind
    }

    /// Present exactly if this is a state event.
    pub fn state_key(&self) -> Option<&str> {
        self.event.state_key.as_deref()
    }

    /// Type and state key of a state event, in the form state maps use; `None` for other events.
    pub fn state_name(&self) -> Option<(StateEventType, String)> {
        let state_key = self.event.state_key.clone()?;
        Some((StateEventType::from(self.event.kind.to_string()), state_key))
    }

    /// Whether this is the state event of that type and key.
    pub fn is_state(&self, kind: &StateEventType, state_key: &str) -> bool {
        self.state_key() == Some(state_key)
            && self.event.kind == TimelineEventType::from(kind.clone())
    }

    /// `content`, always a JSON object.
    pub fn content(&self) -> &RawValue {
        &self.event.content
    }

    /// Reads `content` as a type of one's own.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if it does not fit.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        serde_json::from_str(self.event.content.get()).map_err(Refusal::malformed)
    }

    /// The sending server's clock. A claim, not a fact.
    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.event.origin_server_ts
    }

    /// Distance to the create event as its sender saw it.
    pub fn depth(&self) -> u64 {
        self.event.depth
    }

    /// Its parents in the room's history.
    pub fn prev_events(&self) -> &[OwnedEventId] {
        &self.event.prev_events
    }

    /// The events that prove its right to be sent.
    pub fn auth_events(&self) -> &[OwnedEventId] {
        &self.event.auth_events
    }

    /// The event that this redaction wants to take away, wherever the room version keeps it.
    pub fn redacts(&self) -> Option<&EventId> {
        self.event.redacts.as_deref()
    }

    /// `unsigned`, which no signature covers.
    pub fn unsigned(&self) -> Option<&RawValue> {
        self.event.unsigned.as_deref()
    }

    /// How long it wants to be sticky (MSC4354), in milliseconds, an hour at most.
    pub fn sticky_ms(&self) -> Option<u64> {
        self.event.sticky_ms
    }

    /// Whether the authorization rules rejected it.
    pub fn rejected(&self) -> bool {
        self.rejected
    }

    /// The whole event as JSON text; its id is in there until room version 2 only.
    pub fn json(&self) -> &str {
        &self.event.json
    }

    /// The whole event as raw JSON, to be sent to other servers.
    pub fn to_raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.event.json.to_string()).expect("it was parsed from this text")
    }
}

/// The create event of version 12 names no room: the room is named after the event.
fn room_id_of_create(
    kind: &TimelineEventType,
    event_id: &EventId,
    rules: &RoomVersionRules,
) -> Result<OwnedRoomId, Refusal> {
    let named_after_create = rules.authorization.room_create_event_id_as_room_id;
    if !named_after_create || *kind != TimelineEventType::RoomCreate {
        return Err(Refusal::Malformed("`room_id` is missing".to_owned()));
    }
    room_id_from_create_id(event_id)
}

pub(crate) fn room_id_from_create_id(event_id: &EventId) -> Result<OwnedRoomId, Refusal> {
    let hash = event_id.as_str().strip_prefix('$').unwrap_or_default();
    RoomId::new_v2(hash).map_err(Refusal::malformed)
}

/// Since version 11 the target is part of `content` (spec: rooms/v11, moving the `redacts` key).
fn redacted_event(
    kind: &TimelineEventType,
    top_level: Option<&RawValue>,
    content: &RawValue,
    rules: &RoomVersionRules,
) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        redacts: OwnedEventId,
    }

    if *kind != TimelineEventType::RoomRedaction {
        return None;
    }
    if rules.redaction.content_field_redacts {
        serde_json::from_str::<Content>(content.get()).ok().map(|content| content.redacts)
    } else {
        serde_json::from_str(top_level?.get()).ok()
    }
}

impl fmt::Debug for Pdu {
    /// Names the event; its content may be private and stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdu")
            .field("event_id", &self.event.event_id)
            .field("kind", &self.event.kind)
            .field("rejected", &self.rejected)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Pdu {
    fn eq(&self, other: &Self) -> bool {
        self.rejected == other.rejected
            && self.event.event_id == other.event.event_id
            && self.event.json == other.event.json
    }
}

impl Eq for Pdu {}

impl Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event.event_id
    }

    /// The room id *in the event*: the rules of version 12 forbid one in the create event.
    fn room_id(&self) -> Option<&RoomId> {
        self.event.room_id_in_json.then_some(&*self.event.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.event.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.event.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event.kind
    }

    fn content(&self) -> &RawValue {
        &self.event.content
    }

    fn state_key(&self) -> Option<&str> {
        self.event.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.event.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.event.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.event.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// What somebody wants to say: all of an event but its place in the room and its signature.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The room; `None` only for the create event of version 12 and later.
    pub room_id: Option<OwnedRoomId>,
    /// Who says it.
    pub sender: OwnedUserId,
    /// The event type.
    pub kind: TimelineEventType,
    /// Makes it a state event.
    pub state_key: Option<String>,
    /// A JSON object; numbers must be integers within ±(2^53 − 1).
    pub content: Box<RawValue>,
    /// The target of a redaction; [`crate::seal`] puts it where the room version wants it.
    pub redacts: Option<OwnedEventId>,
    /// When, by our clock.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// How long it is to be sticky (MSC4354), in milliseconds.
    pub sticky_ms: Option<u64>,
}

impl Draft {
    /// A message event; set the public fields for the rest.
    pub fn new(
        room_id: Option<OwnedRoomId>,
        sender: OwnedUserId,
        kind: TimelineEventType,
        content: Box<RawValue>,
        origin_server_ts: MilliSecondsSinceUnixEpoch,
    ) -> Self {
        Self {
            room_id,
            sender,
            kind,
            state_key: None,
            content,
            redacts: None,
            origin_server_ts,
            sticky_ms: None,
        }
    }

    /// Makes it a state event.
    #[must_use]
    pub fn state_key(mut self, state_key: impl Into<String>) -> Self {
        self.state_key = Some(state_key.into());
        self
    }

    /// Makes it sticky.
    #[must_use]
    pub fn sticky(mut self, duration_ms: Option<u64>) -> Self {
        self.sticky_ms = duration_ms;
        self
    }

    /// Names the event it redacts.
    #[must_use]
    pub fn redacts(mut self, event_id: OwnedEventId) -> Self {
        self.redacts = Some(event_id);
        self
    }
}

/// Where a new event hangs in its room.
#[derive(Clone, Debug, Default)]
pub struct Parents {
    /// The room's newest events, at most [`crate::order::PREV_EVENTS_MAX`].
    pub prev_events: Vec<OwnedEventId>,
    /// The events that prove the sender's right. May name the create event in every version:
    /// [`crate::seal`] leaves it out where the room version forbids it.
    pub auth_events: Vec<OwnedEventId>,
    /// Depth of the new event itself, see [`crate::order::depth_after`].
    pub depth: u64,
}
