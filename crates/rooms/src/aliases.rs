//! Names of rooms: who may give them, who may take them away, where they lead.

use blaupause_data::{Member, Order, ReadSet, Write, rows::UserRoomRow};
use blaupause_graph::Draft;
use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    state_res::events::RoomPowerLevelsEvent,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Rooms, RoomsError, SendState,
    append::Appending,
    remote::ALIAS_SERVERS_MAX,
    rows::{Alias, AliasRow, RoomAliasRow},
    validate,
};

/// Aliases of one room.
const ALIASES_MAX: u32 = 1_000;
/// Alternative aliases that one canonical alias event may name.
const ALT_ALIASES_MAX: usize = 100;
/// Longest alias in bytes, with sigil and server name (appendices, "Room aliases").
const ALIAS_BYTES_MAX: usize = 255;

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedAlias {
    pub room_id: OwnedRoomId,
    /// Servers through which the room can be joined.
    pub servers: Vec<OwnedServerName>,
}

#[derive(Default, Deserialize)]
struct CanonicalAlias {
    #[serde(default)]
    alias: Option<OwnedRoomAliasId>,
    #[serde(default)]
    alt_aliases: Vec<OwnedRoomAliasId>,
}

impl CanonicalAlias {
    fn names(&self) -> impl Iterator<Item = &OwnedRoomAliasId> {
        self.alias.iter().chain(&self.alt_aliases)
    }
}

impl Rooms {
    /// Where an alias leads. The server is asked that the alias belongs to.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if nowhere; [`RoomsError::Federation`] if that server was of no
    /// use.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<ResolvedAlias, RoomsError> {
        let own = self.data().server_name();
        if alias.server_name() != own {
            return self.resolve_elsewhere(alias).await;
        }
        let row = self.alias(alias).await?.ok_or(RoomsError::NotFound("room alias"))?;
        let mut servers = vec![own.to_owned()];
        let others = self.data().servers_in(&row.room_id).await?.into_iter();
        servers.extend(others.filter(|server| server != own).take(ALIAS_SERVERS_MAX));
        Ok(ResolvedAlias { room_id: row.room_id, servers })
    }

    async fn alias(&self, alias: &RoomAliasId) -> Result<Option<Alias>, RoomsError> {
        let home = self.data().parts().alias(alias);
        let row = self.data().get::<AliasRow>(home, &alias.to_string()).await?;
        Ok(row.map(|row| row.value))
    }

    /// An alias of this server that nobody has.
    pub(crate) async fn free_alias(&self, localpart: &str) -> Result<OwnedRoomAliasId, RoomsError> {
        let alias = self.local_alias(localpart)?;
        match self.alias(&alias).await? {
            Some(_) => Err(RoomsError::AliasTaken),
            None => Ok(alias),
        }
    }

    fn local_alias(&self, localpart: &str) -> Result<OwnedRoomAliasId, RoomsError> {
        let bad = |c: char| c == ':' || c == '#' || c.is_whitespace() || c.is_control();
        if localpart.is_empty() || localpart.contains(bad) {
            return Err(RoomsError::Invalid("the alias has characters that an alias cannot have"));
        }
        let alias = format!("#{localpart}:{}", self.data().server_name());
        if alias.len() > ALIAS_BYTES_MAX {
            return Err(RoomsError::Invalid("the alias is too long"));
        }
        RoomAliasId::parse(alias).map_err(|_| RoomsError::Invalid("this cannot be an alias"))
    }

    fn must_be_ours(&self, alias: &RoomAliasId) -> Result<(), RoomsError> {
        if alias.server_name() != self.data().server_name() {
            return Err(RoomsError::Invalid("the alias belongs to another server"));
        }
        self.local_alias(alias.alias()).map(drop)
    }

    /// Let an alias of this server lead to a room. Only members may.
    ///
    /// # Errors
    /// [`RoomsError::AliasTaken`], [`RoomsError::NotJoined`], [`RoomsError::Invalid`].
    pub async fn add_alias(
        &self,
        user: &UserId,
        alias: &RoomAliasId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        self.must_be_ours(alias)?;
        let data = self.data();
        let part = data.parts().room(room);
        let mut want = ReadSet::new();
        let mine = want.get::<UserRoomRow>(data.parts().user(user), &part);
        let others = want.prefix::<RoomAliasRow>(part, &(), Order::Forward, ALIASES_MAX);
        let got = want.run(data).await?;
        let mine = got.one(mine)?.filter(|row| row.room_id == room);
        if mine.is_none_or(|row| row.membership != Member::Join) {
            return Err(RoomsError::NotJoined);
        }
        if got.many(others)?.rows.len() >= ALIASES_MAX as usize {
            return Err(RoomsError::TooMany { what: "aliases", max: ALIASES_MAX as usize });
        }
        let (home, name) = (data.parts().alias(alias), alias.to_string());
        let row = Alias { room_id: room.to_owned(), creator: user.to_owned() };
        let mut write = Write::new(part);
        write.require_absent::<AliasRow>(home, &name);
        write.put::<AliasRow>(home, &name, &row);
        write.put::<RoomAliasRow>(part, &name, &());
        match self.data().commit(write).await {
            Err(blaupause_data::DataError::Conflict { .. }) => Err(RoomsError::AliasTaken),
            done => Ok(done.map(drop)?),
        }
    }

    /// Take an alias away. Who made it may, and who may say in the room what its aliases are. If
    /// the room's canonical alias names it, that is changed, too, if the person may.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`], [`RoomsError::Forbidden`].
    pub async fn remove_alias(&self, user: &UserId, alias: &RoomAliasId) -> Result<(), RoomsError> {
        self.must_be_ours(alias)?;
        let row = self.alias(alias).await?.ok_or(RoomsError::NotFound("room alias"))?;
        if row.creator != user && !self.may_name(user, &row.room_id).await? {
            return Err(RoomsError::Forbidden("this is not your alias"));
        }
        self.write_no_alias(alias, &row.room_id).await?;
        match self.drop_from_canonical(user, alias, &row.room_id).await {
            // Who may not change the room's state may still take their own alias away.
            Err(RoomsError::Refused(_) | RoomsError::RoomUnknown) => Ok(()),
            done => done,
        }
    }

    pub(crate) async fn write_no_alias(
        &self,
        alias: &RoomAliasId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        let part = self.data().parts().room(room);
        let mut write = Write::new(part);
        write.del::<AliasRow>(self.data().parts().alias(alias), &alias.to_string());
        write.del::<RoomAliasRow>(part, &alias.to_string());
        self.data().commit(write).await?;
        Ok(())
    }

    async fn drop_from_canonical(
        &self,
        user: &UserId,
        alias: &RoomAliasId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        self.in_turn(|| {
            Box::pin(async {
                let mut lane = self.lane(room).await?;
                let mut batch = Appending::new(self, lane.room()?);
                let name = (StateEventType::RoomCanonicalAlias, String::new());
                batch.look_up(std::slice::from_ref(&name)).await?;
                let Some(current) = batch.state(&name.0, "") else { return Ok(()) };
                let mut content: serde_json::Map<String, serde_json::Value> =
                    current.content_as()?;
                let gone = json!(alias);
                let mut changed = false;
                if content.get("alias") == Some(&gone) {
                    content.remove("alias");
                    changed = true;
                }
                if let Some(serde_json::Value::Array(alt)) = content.get_mut("alt_aliases") {
                    let before = alt.len();
                    alt.retain(|alias| *alias != gone);
                    changed |= alt.len() != before;
                }
                if !changed {
                    return Ok(());
                }
                let draft = Draft::new(
                    Some(room.to_owned()),
                    user.to_owned(),
                    TimelineEventType::RoomCanonicalAlias,
                    validate::raw(&content)?,
                    self.data().env().now(),
                );
                batch.push(draft.state_key("")).await?;
                let write = batch.finish();
                lane.commit(self.data(), write).await?;
                Ok(())
            })
        })
        .await
    }

    /// The room's aliases on this server.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn aliases_of(&self, room: &RoomId) -> Result<Vec<OwnedRoomAliasId>, RoomsError> {
        let part = self.data().parts().room(room);
        let rows = self.data().list::<RoomAliasRow>(part, &(), ALIASES_MAX).await?.rows;
        Ok(rows.into_iter().filter_map(|(name, _)| name.try_into().ok()).collect())
    }

    /// The room's aliases, for somebody who may read the room.
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`] if the person is not in the room and it is not for everybody.
    pub async fn aliases_for(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Vec<OwnedRoomAliasId>, RoomsError> {
        if self.is_joined(user, room).await? || self.is_world_readable(room).await? {
            return self.aliases_of(room).await;
        }
        Err(RoomsError::NotJoined)
    }

    async fn is_world_readable(&self, room: &RoomId) -> Result<bool, RoomsError> {
        #[derive(Deserialize)]
        struct Content {
            history_visibility: String,
        }
        let name = (StateEventType::RoomHistoryVisibility, String::new());
        let event = self.current_state(room, &[name]).await?.pop().flatten();
        let content = event.and_then(|event| event.content_as::<Content>());
        Ok(content.is_some_and(|content| content.history_visibility == "world_readable"))
    }

    /// Whether somebody may set the room's canonical alias: the measure for all that concerns how
    /// the room is found.
    pub(crate) async fn may_name(&self, user: &UserId, room: &RoomId) -> Result<bool, RoomsError> {
        let mut lane = match self.lane(room).await {
            Err(RoomsError::RoomUnknown) => return Ok(false),
            lane => lane?,
        };
        let mut batch = Appending::new(self, lane.room()?);
        if batch.membership(user).await? != Some(Member::Join) {
            return Ok(false);
        }
        batch
            .look_up(&[
                (StateEventType::RoomCreate, String::new()),
                (StateEventType::RoomPowerLevels, String::new()),
            ])
            .await?;
        let rules = batch.hot.rules.clone();
        let levels = batch.state(&StateEventType::RoomPowerLevels, "");
        let kind = TimelineEventType::RoomCanonicalAlias;
        let needed = match levels.map(RoomPowerLevelsEvent::new) {
            Some(levels) => levels
                .event_power_level(&kind, Some(""), &rules.authorization)
                .map_err(blaupause_graph::Refusal::NotAllowed)?,
            None => ruma::int!(50),
        };
        let level = blaupause_graph::power_level(user, &batch.view(), &rules)?;
        Ok(level >= UserPowerLevel::Int(needed))
    }

    /// Aliases that a canonical alias event newly names must lead to the room
    /// (client-server API, `PUT /state`).
    pub(crate) async fn check_canonical_alias(
        &self,
        request: &SendState,
    ) -> Result<(), RoomsError> {
        if !request.state_key.is_empty() {
            return Ok(());
        }
        let wrong = |_| RoomsError::Invalid("aliases look like #name:server");
        let mut content = validate::object(&request.content)?;
        content.retain(|_, value| !value.is_null());
        // Clients take the alias away with an empty text.
        if content.get("alias").is_some_and(|alias| alias == "") {
            content.remove("alias");
        }
        let wanted: CanonicalAlias =
            serde_json::from_value(serde_json::Value::Object(content)).map_err(wrong)?;
        if wanted.alt_aliases.len() > ALT_ALIASES_MAX {
            return Err(RoomsError::TooMany { what: "aliases", max: ALT_ALIASES_MAX });
        }
        let name = (StateEventType::RoomCanonicalAlias, String::new());
        let current = self.current_state(&request.room, &[name]).await?.pop().flatten();
        let current: CanonicalAlias =
            current.and_then(|event| event.content_as()).unwrap_or_default();
        let new = wanted.names().filter(|alias| !current.names().any(|old| old == *alias));
        let own = self.data().server_name();
        let (new, elsewhere): (Vec<_>, Vec<_>) = new.partition(|alias| alias.server_name() == own);
        self.check_elsewhere(&elsewhere, &request.room).await?;
        let keys: Vec<_> =
            new.iter().map(|alias| (self.data().parts().alias(alias), alias.to_string())).collect();
        let rows =
            self.data().get_many::<AliasRow>(keys.iter().map(|(home, name)| (*home, name))).await?;
        for (alias, row) in new.into_iter().zip(rows) {
            if row.is_none_or(|row| row.room_id != request.room) {
                return Err(RoomsError::BadAlias(format!("{alias} does not lead to this room")));
            }
        }
        Ok(())
    }
}
