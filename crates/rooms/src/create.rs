//! Rooms come into being: one batch with everything they start with.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use blaupause_data::{DIRECTORY, DataError, rows::RoomHead};
use blaupause_graph::{
    Draft, EventNo, PageNo, Parents, Refusal, StateKeyNo, StateRoot, check_state_independent,
    rules_of, seal,
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    UInt,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    Rooms, RoomsError,
    append::Appending,
    hot::RoomHot,
    rows::{Alias, AliasRow, Created, Published, PublishedRow, RoomAliasRow, RoomListRow},
    settings::is_supported,
    validate,
};

mod plan;

pub(crate) use plan::{Planned, default_levels};

/// People who can be invited while creating a room. They must fit in one batch.
const INVITES_MAX: usize = 200;
/// State events that a room can start with beyond what is implied.
const INITIAL_STATE_MAX: usize = 150;

/// What a room is to start with. See the client-server API, `POST /createRoom`.
#[derive(Clone, Debug)]
pub struct CreateRoom {
    pub creator: OwnedUserId,
    /// `None`: the default of this server.
    pub version: Option<RoomVersionId>,
    /// `None`: follows from `published`.
    pub preset: Option<Preset>,
    /// To be listed in the room directory.
    pub published: bool,
    /// Additional fields of the create event.
    pub creation_content: Map<String, Value>,
    /// Fields that replace those of the default power levels.
    pub power_levels: Map<String, Value>,
    pub initial_state: Vec<InitialState>,
    pub name: Option<String>,
    pub topic: Option<String>,
    /// Local part of the room's alias.
    pub alias: Option<String>,
    pub invite: Vec<OwnedUserId>,
    /// The invited see a direct chat.
    pub is_direct: bool,
}

/// A state event that a room starts with.
#[derive(Clone, Debug)]
pub struct InitialState {
    pub kind: StateEventType,
    pub state_key: String,
    pub content: Box<RawValue>,
}

/// Bundles of initial state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    Private,
    TrustedPrivate,
    Public,
}

impl CreateRoom {
    /// A private room without anything special.
    pub fn new(creator: OwnedUserId) -> Self {
        Self {
            creator,
            version: None,
            preset: None,
            published: false,
            creation_content: Map::new(),
            power_levels: Map::new(),
            initial_state: Vec::new(),
            name: None,
            topic: None,
            alias: None,
            invite: Vec::new(),
            is_direct: false,
        }
    }

    pub(crate) fn preset(&self) -> Preset {
        self.preset.unwrap_or(if self.published { Preset::Public } else { Preset::Private })
    }
}

/// A room that is about to be made.
pub(crate) struct Making {
    pub creator: OwnedUserId,
    pub version: RoomVersionId,
    pub create_content: Map<String, Value>,
    /// What follows the create event and the creator's join, sent by the creator.
    pub states: Vec<Planned>,
    pub alias: Option<OwnedRoomAliasId>,
    pub published: bool,
}

impl Rooms {
    /// Make a room. Durable, and complete, when this returns.
    ///
    /// # Errors
    /// [`RoomsError::UnsupportedVersion`], [`RoomsError::AliasTaken`],
    /// [`RoomsError::InvalidRoomState`] if the events of the request do not go together,
    /// [`RoomsError::BadContent`] if one of them is wrong in itself.
    pub async fn create(&self, request: CreateRoom) -> Result<OwnedRoomId, RoomsError> {
        let version = self.supported(request.version.as_ref())?;
        if request.invite.len() > INVITES_MAX {
            return Err(RoomsError::TooMany { what: "invited people", max: INVITES_MAX });
        }
        if request.initial_state.len() > INITIAL_STATE_MAX {
            return Err(RoomsError::TooMany {
                what: "initial state events",
                max: INITIAL_STATE_MAX,
            });
        }
        let alias = match &request.alias {
            Some(localpart) => Some(self.free_alias(localpart).await?),
            None => None,
        };
        let invited: BTreeSet<_> =
            request.invite.iter().filter(|user| **user != request.creator).cloned().collect();
        let (invited, others): (BTreeSet<_>, BTreeSet<_>) =
            invited.into_iter().partition(|user| self.data().is_local(user));
        for other in &others {
            self.federation().permits(other.server_name())?;
        }
        let invitations = self.invitations(&request.creator, &invited, request.is_direct).await?;
        let making = plan::plan(&request, &version, alias, &invitations)?;
        let room = self.make_room(making).await?;
        self.invite_others(&request, &room, others).await;
        Ok(room)
    }

    /// The version of a new room.
    pub(crate) fn supported(
        &self,
        asked: Option<&RoomVersionId>,
    ) -> Result<(RoomVersionId, RoomVersionRules), RoomsError> {
        let version = asked.unwrap_or(&self.settings().default_version).clone();
        match rules_of(&version).filter(|_| is_supported(&version)) {
            Some(rules) => Ok((version, rules)),
            None => Err(RoomsError::UnsupportedVersion(version)),
        }
    }

    pub(crate) async fn make_room(&self, making: Making) -> Result<OwnedRoomId, RoomsError> {
        let rules = rules_of(&making.version);
        let rules = rules.ok_or_else(|| RoomsError::UnsupportedVersion(making.version.clone()))?;
        let now = self.time_of_creation();
        let (create, room_id) = self.create_event(&making, &rules, now)?;
        let part = self.data().parts().room(&room_id);
        let head = RoomHead {
            room_id: room_id.clone(),
            version: making.version.clone(),
            next_event: EventNo(0),
            next_state_key: StateKeyNo(0),
            next_page: PageNo(0),
            tips: Vec::new(),
            state: StateRoot::EMPTY,
            joined: 0,
            invited: 0,
        };
        let join = self.join_content(&making.creator).await?;
        let mut hot = RoomHot::new(part, 0, head)?;
        let mut batch = Appending::new(self, &mut hot);
        batch.push(create).await.map_err(start_refused)?;
        let joined = Planned::member(&making.creator, &Value::Object(join))?;
        for planned in std::iter::once(joined).chain(making.states) {
            let draft = Draft::new(
                Some(room_id.clone()),
                making.creator.clone(),
                TimelineEventType::from(planned.kind.to_string()),
                planned.content,
                now,
            );
            batch.push(draft.state_key(planned.state_key)).await.map_err(start_refused)?;
        }
        let creator = &making.creator;
        let made = Created { by: creator.clone(), at: now.get().into() };
        batch.write.put::<RoomListRow>(DIRECTORY, &room_id, &made);
        if making.published {
            let by = creator.clone();
            batch.write.put::<PublishedRow>(DIRECTORY, &room_id, &Published { by });
        }
        if let Some(alias) = &making.alias {
            let row = Alias { room_id: room_id.clone(), creator: creator.clone() };
            let (home, name) = (self.data().parts().alias(alias), alias.to_string());
            batch.write.require_absent::<AliasRow>(home, &name);
            batch.write.put::<AliasRow>(home, &name, &row);
            batch.write.put::<RoomAliasRow>(part, &name, &());
        }
        let write = batch.finish();
        match self.data().commit(write).await {
            Ok(_) => {}
            // The room id is new, so it was the alias.
            Err(DataError::Conflict { .. }) => return Err(RoomsError::AliasTaken),
            Err(error) => return Err(error.into()),
        }
        let mut lane = self.lanes().enter(part).await;
        lane.hot().get_or_insert(hot);
        Ok(room_id)
    }

    /// The create event, and the room's id: random, or since version 12 the event's hash.
    fn create_event(
        &self,
        making: &Making,
        rules: &RoomVersionRules,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<(Draft, OwnedRoomId), RoomsError> {
        let data = self.data();
        let named_after_create = rules.authorization.room_create_event_id_as_room_id;
        let room_id = if named_after_create {
            None
        } else {
            let name = format!("!{}:{}", data.env().random_text::<18>(), data.server_name());
            Some(RoomId::parse(name).map_err(|_| RoomsError::Invalid("room id too long"))?)
        };
        let mut content = making.create_content.clone();
        content.insert("room_version".to_owned(), json!(making.version));
        if rules.authorization.use_room_create_sender {
            content.remove("creator");
        } else {
            content.insert("creator".to_owned(), json!(making.creator));
        }
        let draft = Draft::new(
            room_id.clone(),
            making.creator.clone(),
            TimelineEventType::RoomCreate,
            validate::raw(&content)?,
            now,
        )
        .state_key("");
        let parents = Parents { depth: 1, ..Parents::default() };
        let key = data.signing_key();
        let create = seal(&draft, &parents, data.server_name(), key.pair(), rules)?;
        check_state_independent(&create, |_| None, rules)
            .map_err(|refusal| start_refused(refusal.into()))?;
        Ok((draft, room_id.unwrap_or_else(|| create.room_id().to_owned())))
    }

    /// Now, but never twice the same: rooms of version 12 that one person makes with the same
    /// content at the same moment would be the same room.
    fn time_of_creation(&self) -> MilliSecondsSinceUnixEpoch {
        let now = self.data().env().now_millis();
        let last = &self.0.last_creation;
        let later = |last: u64| Some(now.max(last + 1));
        let last = last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
        let time = last.map_or(now, |last| now.max(last + 1));
        MilliSecondsSinceUnixEpoch(UInt::new_saturating(time))
    }
}

/// Who creates a room has every right in it; what is refused contradicts itself.
fn start_refused(error: RoomsError) -> RoomsError {
    match error {
        RoomsError::Refused(Refusal::NotAllowed(why)) => RoomsError::InvalidRoomState(why),
        error => error,
    }
}
