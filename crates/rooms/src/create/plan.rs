//! What a room starts with: pure, from the request to the list of events.

use ruma::{
    OwnedRoomAliasId, OwnedUserId, RoomVersionId, UserId, events::StateEventType,
    room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{CreateRoom, Making, Preset};
use crate::{RoomsError, validate};

/// A state event to be sent by the creator.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub kind: StateEventType,
    pub state_key: String,
    pub content: Box<RawValue>,
}

impl Planned {
    pub(crate) fn new(kind: StateEventType, content: &Value) -> Result<Self, RoomsError> {
        Ok(Self { kind, state_key: String::new(), content: validate::raw(content)? })
    }

    pub(crate) fn member(user: &UserId, content: &Value) -> Result<Self, RoomsError> {
        let planned = Self::new(StateEventType::RoomMember, content)?;
        Ok(Self { state_key: user.to_string(), ..planned })
    }
}

/// The events of a request, in the order that the specification prescribes.
pub(crate) fn plan(
    request: &CreateRoom,
    (version, rules): &(RoomVersionId, RoomVersionRules),
    alias: Option<OwnedRoomAliasId>,
    invitations: &[(OwnedUserId, Value)],
) -> Result<Making, RoomsError> {
    for state in &request.initial_state {
        if state.kind == StateEventType::RoomMember {
            // What has to be asked before an invitation would not be asked.
            return Err(validate::bad("members of a new room are invited by `invite`"));
        }
        validate::state(&state.kind, &state.state_key, &state.content, None)?;
    }
    let mut states = vec![levels(request, rules)?];
    if let Some(alias) = &alias {
        states.push(Planned::new(StateEventType::RoomCanonicalAlias, &json!({ "alias": alias }))?);
    }
    states.extend(preset(request)?);
    states.extend(
        request.initial_state.iter().filter(|state| !is_levels(&state.kind, &state.state_key)).map(
            |state| Planned {
                kind: state.kind.clone(),
                state_key: state.state_key.clone(),
                content: state.content.clone(),
            },
        ),
    );
    if let Some(name) = &request.name {
        states.push(Planned::new(StateEventType::RoomName, &json!({ "name": name }))?);
    }
    if let Some(topic) = &request.topic {
        let content = json!({ "topic": topic, "m.topic": { "m.text": [{ "body": topic }] } });
        states.push(Planned::new(StateEventType::RoomTopic, &content)?);
    }
    for (user, content) in invitations {
        states.push(Planned::member(user, content)?);
    }
    Ok(Making {
        creator: request.creator.clone(),
        version: version.clone(),
        create_content: create_content(request, rules)?,
        states,
        alias,
        published: request.published,
    })
}

fn is_levels(kind: &StateEventType, state_key: &str) -> bool {
    *kind == StateEventType::RoomPowerLevels && state_key.is_empty()
}

fn create_content(
    request: &CreateRoom,
    rules: &RoomVersionRules,
) -> Result<Map<String, Value>, RoomsError> {
    let mut content = request.creation_content.clone();
    if !content.get("m.federate").is_none_or(Value::is_boolean) {
        return Err(validate::bad("`m.federate` is a boolean"));
    }
    if !content.get("type").is_none_or(Value::is_string) {
        return Err(validate::bad("`type` of a room is a text"));
    }
    if !content.get("predecessor").is_none_or(Value::is_object) {
        return Err(validate::bad("`predecessor` is an object"));
    }
    if rules.authorization.additional_room_creators {
        let creators = content.get("additional_creators").cloned().unwrap_or(json!([]));
        let mut creators: Vec<OwnedUserId> = serde_json::from_value(creators)
            .map_err(|_| validate::bad("`additional_creators` are user ids"))?;
        if request.preset() == Preset::TrustedPrivate {
            creators.extend(request.invite.iter().cloned());
        }
        creators.sort();
        creators.dedup();
        creators.retain(|user| *user != request.creator);
        content.remove("additional_creators");
        if !creators.is_empty() {
            content.insert("additional_creators".to_owned(), json!(creators));
        }
    }
    Ok(content)
}

/// The power levels: the client's own in `initial_state`, or the usual ones with the fields that
/// the client wants otherwise.
fn levels(request: &CreateRoom, rules: &RoomVersionRules) -> Result<Planned, RoomsError> {
    validate::power_levels(&request.power_levels)?;
    let own = request.initial_state.iter().rev();
    let own = own.clone().find(|state| is_levels(&state.kind, &state.state_key));
    if let Some(own) = own.filter(|_| request.power_levels.is_empty()) {
        return Ok(Planned {
            kind: StateEventType::RoomPowerLevels,
            state_key: String::new(),
            content: own.content.clone(),
        });
    }
    let mut users = Map::new();
    let privileged_creators = rules.authorization.explicitly_privilege_room_creators;
    if !privileged_creators {
        users.insert(request.creator.to_string(), json!(100));
        if request.preset() == Preset::TrustedPrivate {
            for user in &request.invite {
                users.insert(user.to_string(), json!(100));
            }
        }
    }
    let mut content = default_levels(&users, privileged_creators);
    if request.preset() != Preset::Public {
        content.insert("invite".to_owned(), json!(0));
    }
    for (name, value) in &request.power_levels {
        content.insert(name.clone(), value.clone());
    }
    Planned::new(StateEventType::RoomPowerLevels, &Value::Object(content))
}

/// Everyday changes need 50, what changes who has power or who can read needs 100. Where creators
/// stand above all numbers, only they upgrade (150: the specification wants it above all others).
pub(crate) fn default_levels(
    users: &Map<String, Value>,
    privileged_creators: bool,
) -> Map<String, Value> {
    let upgrade = if privileged_creators { 150 } else { 100 };
    let content = json!({
        "ban": 50,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": upgrade,
            "m.room.topic": 50,
        },
        "events_default": 0,
        "invite": 50,
        "kick": 50,
        "notifications": { "room": 50 },
        "redact": 50,
        "state_default": 50,
        "users": users,
        "users_default": 0,
    });
    match content {
        Value::Object(content) => content,
        _ => Map::new(),
    }
}

/// The events of the preset, as far as the request does not set them itself.
fn preset(request: &CreateRoom) -> Result<Vec<Planned>, RoomsError> {
    let (join_rule, guests) = match request.preset() {
        Preset::Private | Preset::TrustedPrivate => ("invite", true),
        Preset::Public => ("public", false),
    };
    let mut events = vec![
        (StateEventType::RoomJoinRules, json!({ "join_rule": join_rule })),
        (StateEventType::RoomHistoryVisibility, json!({ "history_visibility": "shared" })),
    ];
    // Where nothing is said they are forbidden (spec: client-server API, "Guest Access").
    if guests {
        events.push((StateEventType::RoomGuestAccess, json!({ "guest_access": "can_join" })));
    }
    events
        .into_iter()
        .filter(|(kind, _)| {
            let set =
                |state: &super::InitialState| state.kind == *kind && state.state_key.is_empty();
            !request.initial_state.iter().any(set)
        })
        .map(|(kind, content)| Planned::new(kind, &content))
        .collect()
}
