//! Rooms that let in the members of other rooms (client-server API, "Restricted rooms").

use blaupause_data::{
    Member, Order, ReadSet,
    rows::{MemberRow, UserRoomRow},
};
use blaupause_graph::power_level;
use ruma::{
    Int, OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, room::power_levels::UserPowerLevel},
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};
use serde::Deserialize;

use crate::{RoomsError, append::Appending, hot::StateName};

/// Rooms of an allow list that are looked at.
const ALLOWED_ROOMS_MAX: usize = 100;
/// People with power who are looked at to find one who vouches.
const VOUCHERS_MAX: usize = 50;
/// Ordinary members who are looked at where everybody may invite.
const MEMBERS_LOOKED_AT_MAX: u32 = 100;

#[derive(Deserialize)]
struct JoinRules {
    join_rule: String,
    #[serde(default)]
    allow: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct AllowRule {
    #[serde(rename = "type")]
    kind: String,
    room_id: OwnedRoomId,
}

impl Appending<'_> {
    /// Who of this server vouches for somebody's join, if the room's rule needs that.
    ///
    /// # Errors
    /// [`RoomsError::Forbidden`] if the person is in none of the rooms whose members are let in,
    /// [`RoomsError::CannotGrantJoin`] if nobody of this server may invite.
    pub(crate) async fn authorising_user(
        &mut self,
        user: &UserId,
    ) -> Result<Option<OwnedUserId>, RoomsError> {
        let Some(rooms) = self.allowed_rooms().await? else { return Ok(None) };
        if !self.is_in_one_of(user, &rooms).await? {
            return Err(RoomsError::Forbidden(
                "you are in none of the rooms whose members may join this one",
            ));
        }
        match self.local_inviter().await? {
            Some(by) => Ok(Some(by)),
            None => Err(RoomsError::CannotGrantJoin),
        }
    }

    /// The rooms whose members are let in; `None` if the join rule is another one.
    pub(crate) async fn allowed_rooms(&mut self) -> Result<Option<Vec<OwnedRoomId>>, RoomsError> {
        if !self.hot.rules.authorization.restricted_join_rule {
            return Ok(None);
        }
        let name = (StateEventType::RoomJoinRules, String::new());
        self.look_up(std::slice::from_ref(&name)).await?;
        let rules = self.state(&name.0, "").and_then(|pdu| pdu.content_as::<JoinRules>().ok());
        let rules = rules.filter(|rules| is_restricted(&rules.join_rule));
        let rooms = rules.map(|rules| {
            let rules = rules.allow.into_iter();
            let rooms = rules.filter_map(|rule| serde_json::from_value::<AllowRule>(rule).ok());
            let rooms = rooms.filter(|rule| rule.kind == "m.room_membership");
            rooms.take(ALLOWED_ROOMS_MAX).map(|rule| rule.room_id).collect()
        });
        Ok(rooms)
    }

    async fn is_in_one_of(&self, user: &UserId, rooms: &[OwnedRoomId]) -> Result<bool, RoomsError> {
        let data = self.rooms.data();
        let home = data.parts().user(user);
        let parts: Vec<_> = rooms.iter().map(|room| data.parts().room(room)).collect();
        let rows = data.get_many::<UserRoomRow>(parts.iter().map(|part| (home, part))).await?;
        Ok(rows.into_iter().flatten().any(|row| row.membership == Member::Join))
    }

    /// A joined user of this server who may invite.
    pub(crate) async fn local_inviter(&mut self) -> Result<Option<OwnedUserId>, RoomsError> {
        let powers = [
            (StateEventType::RoomCreate, String::new()),
            (StateEventType::RoomPowerLevels, String::new()),
        ];
        self.look_up(&powers).await?;
        let rules = self.hot.rules.clone();
        let levels =
            self.state(&StateEventType::RoomPowerLevels, "").map(RoomPowerLevelsEvent::new);
        let int = |field: RoomPowerLevelsIntField| {
            let level = levels
                .as_ref()
                .map(|levels| levels.get_as_int_or_default(field, &rules.authorization));
            level.and_then(Result::ok).unwrap_or_else(|| field.default_value())
        };
        let needed = int(RoomPowerLevelsIntField::Invite);
        let everybody = int(RoomPowerLevelsIntField::UsersDefault);
        let mut candidates: Vec<(OwnedUserId, Int)> = levels
            .as_ref()
            .and_then(|levels| levels.users(&rules.authorization).ok().flatten())
            .into_iter()
            .flat_map(|users| users.clone())
            .filter(|(_, level)| *level >= needed)
            .collect();
        // The most powerful first: they will probably keep the right.
        candidates.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let creators = self
            .state(&StateEventType::RoomCreate, "")
            .and_then(|create| RoomCreateEvent::new(create).creators(&rules.authorization).ok());
        let mut users: Vec<OwnedUserId> = creators.into_iter().flatten().collect();
        users.sort();
        users.extend(candidates.into_iter().map(|(user, _)| user));
        let data = self.rooms.data();
        users.retain(|user| data.is_local(user));
        users.truncate(VOUCHERS_MAX);
        if let Some(found) = self.first_inviter(&users, needed).await? {
            return Ok(Some(found));
        }
        if everybody < needed {
            return Ok(None);
        }
        let members = self.some_local_members().await?;
        self.first_inviter(&members, needed).await
    }

    async fn first_inviter(
        &mut self,
        users: &[OwnedUserId],
        needed: Int,
    ) -> Result<Option<OwnedUserId>, RoomsError> {
        let names: Vec<StateName> =
            users.iter().map(|user| (StateEventType::RoomMember, user.to_string())).collect();
        self.look_up(&names).await?;
        let rules = self.hot.rules.clone();
        for user in users {
            let level = power_level(user, &self.view(), &rules);
            let may = level.is_ok_and(|level| level >= UserPowerLevel::Int(needed));
            if may && self.membership(user).await? == Some(Member::Join) {
                return Ok(Some(user.clone()));
            }
        }
        Ok(None)
    }

    async fn some_local_members(&self) -> Result<Vec<OwnedUserId>, RoomsError> {
        let data = self.rooms.data();
        let mut want = ReadSet::new();
        let joined = Member::Join as u8;
        let slot =
            want.prefix::<MemberRow>(self.part(), &joined, Order::Forward, MEMBERS_LOOKED_AT_MAX);
        let rows = want.run(data).await?.many(slot)?.rows.into_iter();
        let local = rows.map(|(_, row)| row.value.user_id).filter(|user| data.is_local(user));
        Ok(local.take(VOUCHERS_MAX).collect())
    }
}

fn is_restricted(join_rule: &str) -> bool {
    matches!(join_rule, "restricted" | "knock_restricted")
}
