//! A room moves to a new version: a new room, and a signpost in the old one.
//!
//! Two batches, because two rooms never change together. If the second does not happen, the new
//! room is an empty one that nobody knows of, and the upgrade can be asked for again.

use blaupause_data::{Member, rows::MemberRow};
use blaupause_graph::{Draft, Pdu};
use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::events::{RoomPowerLevelsEvent, RoomPowerLevelsIntField as Field},
};
use serde_json::{Map, Value, json};

use crate::{
    Rooms, RoomsError, SendState,
    append::Appending,
    create::{Making, Planned, default_levels},
    hot::StateName,
    rows::{Alias, AliasRow, RoomAliasRow},
    validate,
};

/// State that moves to the new room (client-server API, "Room upgrades"). Power levels move, too,
/// but may have to be changed.
const MOVED_TYPES: [StateEventType; 8] = [
    StateEventType::RoomServerAcl,
    StateEventType::RoomEncryption,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomGuestAccess,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomJoinRules,
];
/// Banned people who stay banned in the new room; more do not fit into its first batch.
const BANS_MOVED_MAX: u32 = 200;

/// Somebody wants to move a room.
#[derive(Clone, Debug)]
pub struct UpgradeRoom {
    pub room: OwnedRoomId,
    pub user: OwnedUserId,
    pub version: RoomVersionId,
    /// Further people to stand above all power levels, where the version knows such people.
    pub additional_creators: Vec<OwnedUserId>,
}

/// What moves.
struct Moving {
    making: Making,
    aliases: Vec<OwnedRoomAliasId>,
    canonical: Option<Map<String, Value>>,
}

impl Rooms {
    /// Move a room to another version. Both rooms are durable when this returns.
    ///
    /// # Errors
    /// [`RoomsError::UnsupportedVersion`], [`RoomsError::RoomUnknown`], [`RoomsError::Refused`]
    /// if the person may not close the old room.
    pub async fn upgrade(&self, request: &UpgradeRoom) -> Result<OwnedRoomId, RoomsError> {
        let (version, rules) = self.supported(Some(&request.version))?;
        let moving = self.what_moves(request, &version, &rules).await?;
        let published = moving.making.published;
        let new = self.make_room(moving.making).await?;
        self.leave_signpost(request, &new).await?;
        if published {
            self.write_published(&request.user, &request.room, false).await?;
        }
        self.move_aliases(&request.room, &new, &moving.aliases).await?;
        if let Some(content) = moving.canonical {
            let state = SendState {
                room: new.clone(),
                sender: request.user.clone(),
                kind: StateEventType::RoomCanonicalAlias,
                state_key: String::new(),
                content: validate::raw(&content)?,
                timestamp: None,
                sticky_ms: None,
            };
            self.send_state(state).await?;
        }
        Ok(new)
    }

    fn own_state(
        &self,
        room: &RoomId,
        user: &OwnedUserId,
        kind: &StateEventType,
        content: &Map<String, Value>,
    ) -> Result<Draft, RoomsError> {
        let draft = Draft::new(
            Some(room.to_owned()),
            user.clone(),
            TimelineEventType::from(kind.to_string()),
            validate::raw(content)?,
            self.data().env().now(),
        );
        Ok(draft.state_key(""))
    }

    /// Look at the old room: may it be left, and what goes along?
    async fn what_moves(
        &self,
        request: &UpgradeRoom,
        version: &RoomVersionId,
        rules: &RoomVersionRules,
    ) -> Result<Moving, RoomsError> {
        let mut lane = self.lane(&request.room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        if batch.membership(&request.user).await? != Some(Member::Join) {
            return Err(RoomsError::NotJoined);
        }
        let last_event = batch.head.tips.last().map(|tip| tip.event_id.clone());
        let mut names: Vec<StateName> =
            MOVED_TYPES.iter().map(|kind| (kind.clone(), String::new())).collect();
        names.extend(
            [
                StateEventType::RoomCreate,
                StateEventType::RoomPowerLevels,
                StateEventType::RoomCanonicalAlias,
            ]
            .map(|kind| (kind, String::new())),
        );
        batch.look_up(&names).await?;
        self.check_may_close(&mut batch, request).await?;
        let old_create: Map<String, Value> =
            content_of(batch.state(&StateEventType::RoomCreate, ""));
        let levels = batch.state(&StateEventType::RoomPowerLevels, "");
        let mut states = vec![new_levels(levels, request, rules)?];
        for kind in MOVED_TYPES {
            if let Some(pdu) = batch.state(&kind, "") {
                let content: Map<String, Value> = content_of(Some(pdu));
                states.push(Planned::new(kind, &Value::Object(content))?);
            }
        }
        let canonical = batch.state(&StateEventType::RoomCanonicalAlias, "");
        let canonical = canonical.map(|pdu| content_of(Some(pdu)));
        drop(lane);
        let part = self.data().parts().room(&request.room);
        let ban = Member::Ban as u8;
        for (_, member) in self.data().list::<MemberRow>(part, &ban, BANS_MOVED_MAX).await?.rows {
            states.push(Planned::member(&member.user_id, &json!({ "membership": "ban" }))?);
        }
        let mut predecessor = json!({ "room_id": request.room });
        // Deprecated, and impossible to know where the room id is made from this event.
        if let (false, Some(last)) =
            (rules.authorization.room_create_event_id_as_room_id, last_event)
        {
            predecessor["event_id"] = json!(last);
        }
        let making = Making {
            creator: request.user.clone(),
            version: version.clone(),
            create_content: create_content(old_create, predecessor, request, rules),
            states,
            alias: None,
            published: self.is_published(&request.room).await?,
        };
        Ok(Moving { making, aliases: self.aliases_of(&request.room).await?, canonical })
    }

    /// Before anything is made: would the old room accept the signpost?
    async fn check_may_close(
        &self,
        batch: &mut Appending<'_>,
        request: &UpgradeRoom,
    ) -> Result<(), RoomsError> {
        let content = tombstone(&request.room);
        let draft =
            self.own_state(&request.room, &request.user, &StateEventType::RoomTombstone, &content)?;
        batch.would_allow(&draft).await
    }

    /// The second batch: where the room went, and nobody speaks here any more. Done twice it says
    /// the same.
    async fn leave_signpost(&self, request: &UpgradeRoom, new: &RoomId) -> Result<(), RoomsError> {
        let content = tombstone(new);
        self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(&request.room).await?;
                let mut batch = Appending::new(self, lane.room()?);
                let draft = self.own_state(
                    &request.room,
                    &request.user,
                    &StateEventType::RoomTombstone,
                    &content,
                )?;
                batch.push(draft).await?;
                if let Some(levels) = closed_levels(&batch)? {
                    let kind = StateEventType::RoomPowerLevels;
                    let draft = self.own_state(&request.room, &request.user, &kind, &levels)?;
                    // Who may close the room need not be allowed to change its levels.
                    match batch.push(draft).await {
                        Ok(_) | Err(RoomsError::Refused(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                let write = batch.finish();
                lane.commit(self.data(), write).await
            })
        })
        .await?;
        Ok(())
    }

    async fn move_aliases(
        &self,
        old: &RoomId,
        new: &RoomId,
        aliases: &[OwnedRoomAliasId],
    ) -> Result<(), RoomsError> {
        let parts = self.data().parts();
        let (old, new_part) = (parts.room(old), parts.room(new));
        let homes: Vec<_> =
            aliases.iter().map(|alias| (parts.alias(alias), alias.to_string())).collect();
        let rows = self
            .data()
            .get_many::<AliasRow>(homes.iter().map(|(home, name)| (*home, name)))
            .await?;
        let mut write = blaupause_data::Write::new(new_part);
        for ((home, name), row) in homes.iter().zip(rows) {
            let Some(row) = row else { continue };
            let row = Alias { room_id: new.to_owned(), creator: row.value.creator };
            write.put::<AliasRow>(*home, name, &row);
            write.put::<RoomAliasRow>(new_part, name, &());
            write.del::<RoomAliasRow>(old, name);
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }
}

fn content_of(pdu: Option<Pdu>) -> Map<String, Value> {
    pdu.and_then(|pdu| pdu.content_as().ok()).unwrap_or_default()
}

fn tombstone(new: &RoomId) -> Map<String, Value> {
    let mut content = Map::new();
    content.insert("body".to_owned(), json!("This room has been replaced"));
    content.insert("replacement_room".to_owned(), json!(new));
    content
}

/// What the new room's create event says: as the old one, but for what belongs to the version.
fn create_content(
    mut content: Map<String, Value>,
    predecessor: Value,
    request: &UpgradeRoom,
    rules: &RoomVersionRules,
) -> Map<String, Value> {
    for name in ["creator", "room_version", "additional_creators"] {
        content.remove(name);
    }
    content.insert("predecessor".to_owned(), predecessor);
    if rules.authorization.additional_room_creators {
        let mut creators = request.additional_creators.clone();
        creators.retain(|user| *user != request.user);
        creators.sort();
        creators.dedup();
        if !creators.is_empty() {
            content.insert("additional_creators".to_owned(), json!(creators));
        }
    }
    content
}

/// The levels of the old room, so that the person who moves it has all rights in the new one.
fn new_levels(
    old: Option<Pdu>,
    request: &UpgradeRoom,
    rules: &RoomVersionRules,
) -> Result<Planned, RoomsError> {
    let privileged = rules.authorization.explicitly_privilege_room_creators;
    let mut content =
        old.map_or_else(|| default_levels(&Map::new(), privileged), |pdu| content_of(Some(pdu)));
    let mut users = match content.remove("users") {
        Some(Value::Object(users)) => users,
        _ => Map::new(),
    };
    if privileged {
        // Creators stand above all levels and must not be listed.
        users.retain(|user, _| {
            *user != *request.user
                && !request.additional_creators.iter().any(|other| *user == *other)
        });
        raise_tombstone(&mut content);
    } else {
        let highest = users.values().filter_map(Value::as_i64).max().unwrap_or(100).max(100);
        users.insert(request.user.to_string(), json!(highest));
    }
    content.insert("users".to_owned(), Value::Object(users));
    Planned::new(StateEventType::RoomPowerLevels, &Value::Object(content))
}

/// Since version 12 only creators are to close a room, unless it says otherwise.
fn raise_tombstone(content: &mut Map<String, Value>) {
    let events = content.entry("events").or_insert_with(|| json!({}));
    if let Value::Object(events) = events {
        let level = events.get("m.room.tombstone").and_then(Value::as_i64).unwrap_or(0);
        events.insert("m.room.tombstone".to_owned(), json!(level.max(150)));
    }
}

/// Levels with which only those who could change the room can still speak in it; `None` if that
/// is so already.
fn closed_levels(batch: &Appending<'_>) -> Result<Option<Map<String, Value>>, RoomsError> {
    let Some(pdu) = batch.state(&StateEventType::RoomPowerLevels, "") else { return Ok(None) };
    let rules = &batch.hot.rules.authorization;
    let levels = RoomPowerLevelsEvent::new(pdu.clone());
    let int = |field| {
        levels.get_as_int_or_default(field, rules).map_err(blaupause_graph::Refusal::Malformed)
    };
    let restricted = (int(Field::UsersDefault)? + ruma::int!(1)).max(ruma::int!(50));
    let mut content = content_of(Some(pdu));
    let mut changed = false;
    for (name, field) in [("events_default", Field::EventsDefault), ("invite", Field::Invite)] {
        if int(field)? < restricted {
            content.insert(name.to_owned(), json!(restricted));
            changed = true;
        }
    }
    Ok(changed.then_some(content))
}
