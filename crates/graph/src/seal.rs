//! Making events: a draft and its parents become a signed [`Pdu`].

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, Int, OwnedEventId, RoomId, ServerName,
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    signatures::{Ed25519KeyPair, hash_and_sign_event, sign_json},
};

use crate::{
    Draft, Parents, Pdu, Refusal,
    limits::{check_bytes, check_format, parse_canonical},
    named::{choose_id, event_id_of, named},
    order::DEPTH_MAX,
    sticky,
};

/// Hashes and signs an event and gives it its id. Pure and deterministic: the same draft, parents
/// and key make the same event.
///
/// # Errors
/// [`Refusal::Malformed`] if the content is no object of canonical JSON or an id is not valid,
/// [`Refusal::TooLarge`] if the event or one of its fields exceeds the size limits.
pub fn seal(
    draft: &Draft,
    parents: &Parents,
    server_name: &ServerName,
    key_pair: &Ed25519KeyPair,
    rules: &RoomVersionRules,
) -> Result<Pdu, Refusal> {
    seal_json(template(draft, parents, rules)?, server_name, key_pair, rules)
}

/// The event as it would be sealed, but without hash and signature: what a server answers to
/// `make_join`, `make_leave` and `make_knock`.
///
/// # Errors
/// As [`seal`].
pub fn template(
    draft: &Draft,
    parents: &Parents,
    rules: &RoomVersionRules,
) -> Result<CanonicalJsonObject, Refusal> {
    let mut content = parse_canonical(&draft.content)?;
    let mut event = CanonicalJsonObject::new();
    let mut set = |name: &str, value: CanonicalJsonValue| {
        event.insert(name.to_owned(), value);
    };
    if let Some(redacts) = &draft.redacts {
        let target = CanonicalJsonValue::String(redacts.to_string());
        if rules.redaction.content_field_redacts {
            content.insert("redacts".to_owned(), target);
        } else {
            set("redacts", target);
        }
    }
    let is_create = draft.kind == TimelineEventType::RoomCreate;
    match &draft.room_id {
        Some(_) if is_create && !rules.event_format.require_room_create_room_id => {
            return Err(Refusal::Malformed("this create event must not name a room".to_owned()));
        }
        Some(room_id) => set("room_id", CanonicalJsonValue::String(room_id.to_string())),
        None if is_create && !rules.event_format.require_room_create_room_id => {}
        None => return Err(Refusal::Malformed("`room_id` is missing".to_owned())),
    }
    if let Some(state_key) = &draft.state_key {
        set("state_key", CanonicalJsonValue::String(state_key.clone()));
    }
    let auth_events = allowed_auth_events(&parents.auth_events, draft.room_id.as_deref(), rules);
    set("auth_events", named(auth_events, rules));
    set("prev_events", named(parents.prev_events.iter().map(|id| &**id), rules));
    set("depth", CanonicalJsonValue::Integer(depth(parents.depth)));
    set("content", CanonicalJsonValue::Object(content));
    if let Some(duration_ms) = draft.sticky_ms {
        set(sticky::FIELD, sticky::field(duration_ms));
    }
    set("sender", CanonicalJsonValue::String(draft.sender.to_string()));
    set("type", CanonicalJsonValue::String(draft.kind.to_string()));
    set("origin_server_ts", CanonicalJsonValue::Integer(draft.origin_server_ts.get().into()));
    Ok(event)
}

/// Seals an event that another server prepared for us (its answer to `make_join` and the like).
/// Hashes, signatures and `unsigned` that it brings are dropped. Check beforehand that its sender,
/// room and content are what was asked for.
///
/// # Errors
/// As [`seal`].
pub fn seal_json(
    mut event: CanonicalJsonObject,
    server_name: &ServerName,
    key_pair: &Ed25519KeyPair,
    rules: &RoomVersionRules,
) -> Result<Pdu, Refusal> {
    for name in ["hashes", "signatures", "unsigned", "event_id"] {
        event.remove(name);
    }
    choose_id(&mut event, server_name, rules)?;
    // Before hashing, which only knows "too large".
    check_bytes(&event)?;
    check_format(&event, rules)?;
    hash_and_sign_event(server_name.as_str(), key_pair, &mut event, &rules.redaction)
        .map_err(Refusal::malformed)?;
    finish(&event, rules)
}

/// Adds our signature to another server's event, as for an invite to one of our users.
///
/// # Errors
/// [`Refusal::Malformed`] or [`Refusal::TooLarge`], the latter if the signature no longer fits.
pub fn countersign(
    pdu: &Pdu,
    server_name: &ServerName,
    key_pair: &Ed25519KeyPair,
    rules: &RoomVersionRules,
) -> Result<Pdu, Refusal> {
    let mut event: CanonicalJsonObject =
        serde_json::from_str(pdu.json()).map_err(Refusal::malformed)?;
    // What is signed is the redacted event, so that the signature outlives a redaction.
    let mut redacted = ruma::canonical_json::redact(event.clone(), &rules.redaction, None)
        .map_err(Refusal::malformed)?;
    sign_json(server_name.as_str(), key_pair, &mut redacted).map_err(Refusal::malformed)?;
    if let Some(signatures) = redacted.remove("signatures") {
        event.insert("signatures".to_owned(), signatures);
    }
    finish(&event, rules)
}

pub(crate) fn finish(
    event: &CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<Pdu, Refusal> {
    let json = check_format(event, rules)?;
    let event_id = event_id_of(event, rules)?;
    Pdu::from_stored(json, event_id, rules)
}

/// Version 12 and later imply the create event by the room id and forbid naming it.
fn allowed_auth_events<'a>(
    auth_events: &'a [OwnedEventId],
    room_id: Option<&'a RoomId>,
    rules: &RoomVersionRules,
) -> impl Iterator<Item = &'a EventId> {
    let create = room_id
        .filter(|_| !rules.event_format.allow_room_create_in_auth_events)
        .map(RoomId::strip_sigil);
    auth_events
        .iter()
        .map(|id| &**id)
        .filter(move |id| create.is_none() || id.as_str().strip_prefix('$') != create)
}

fn depth(depth: u64) -> Int {
    Int::new_saturating(i64::try_from(depth.min(DEPTH_MAX)).unwrap_or(i64::MAX))
}
