//! What a member of an upgraded room takes along: the room's push rule and its tags.
//!
//! The new room names the old one (`predecessor` in `m.room.create`), and who comes from there into
//! it would otherwise hear of a room they had silenced. Whoever makes a room can name any old one,
//! so only what concerns nobody else is carried over, and only to people who were in the old room.

use blaupause_accounts::AccountsError;
use blaupause_data::{
    Change, Found, Member, StreamPos,
    rows::{UserRoom, UserRoomRow},
};
use ruma::{OwnedRoomId, RoomId, UserId, events::StateEventType};
use serde::Deserialize;
use serde_json::Value;

use crate::{Rooms, RoomsError};

/// Account data of the user in which push rules are.
const PUSH_RULES: &str = "m.push_rules";
/// Account data of a room in which its tags are.
const TAGS: &str = "m.tag";

#[derive(Deserialize)]
struct Create {
    predecessor: Option<Predecessor>,
}

#[derive(Deserialize)]
struct Predecessor {
    room_id: OwnedRoomId,
}

impl Rooms {
    /// Local users who came into rooms, each line with its position. Two round trips if nobody
    /// came from an older room.
    pub(crate) async fn carry_over(&self, lines: &[(StreamPos, Change)]) -> Result<(), RoomsError> {
        let joins: Vec<_> = lines
            .iter()
            .filter_map(|(pos, change)| match change {
                Change::Membership { user, room, membership: Member::Join } => {
                    Some((*pos, user, room))
                }
                _ => None,
            })
            .collect();
        if joins.is_empty() {
            return Ok(());
        }
        let parts = self.data().parts();
        let keys: Vec<_> =
            joins.iter().map(|(_, user, room)| (parts.user(user), parts.room(room))).collect();
        let rows =
            self.data().get_many::<UserRoomRow>(keys.iter().map(|(home, room)| (*home, room)));
        let rows = rows.await?;
        // A new name is no arrival.
        let came =
            |pos, row: &Found<UserRoom>| row.membership == Member::Join && row.entered_at() == pos;
        let arrivals: Vec<_> = joins
            .into_iter()
            .zip(rows)
            .filter(|((pos, ..), row)| row.as_ref().is_some_and(|row| came(*pos, row)))
            .map(|((_, user, room), _)| (user, room))
            .collect();
        if arrivals.is_empty() {
            return Ok(());
        }
        let create = (StateEventType::RoomCreate, String::new());
        let wanted: Vec<_> =
            arrivals.iter().map(|(_, room)| (parts.room(room), create.clone())).collect();
        let creates = self.current_states(&wanted).await?;
        for ((user, room), create) in arrivals.into_iter().zip(creates) {
            let create = create.and_then(|event| event.content_as::<Create>());
            let Some(old) = create.and_then(|create| create.predecessor) else { continue };
            let before = self.data().membership(user, &old.room_id).await?;
            if before.is_some_and(|row| row.membership == Member::Join || row.was_joined) {
                self.carry_rule(user, &old.room_id, room).await?;
                self.carry_tags(user, &old.room_id, room).await?;
            }
        }
        Ok(())
    }

    async fn carry_rule(
        &self,
        user: &UserId,
        from: &RoomId,
        to: &RoomId,
    ) -> Result<(), RoomsError> {
        let carry = |rules: Option<&str>| -> Result<_, AccountsError> {
            Ok(rules.map(|rules| with_rule(rules, from, to).unwrap_or_else(|| rules.to_owned())))
        };
        self.accounts().change_account_data(user, None, PUSH_RULES, carry).await?;
        Ok(())
    }

    async fn carry_tags(
        &self,
        user: &UserId,
        from: &RoomId,
        to: &RoomId,
    ) -> Result<(), RoomsError> {
        let Some(tags) = self.accounts().account_data(user, Some(from), TAGS).await? else {
            return Ok(());
        };
        let carry = |own: Option<&str>| -> Result<_, AccountsError> {
            Ok(Some(own.unwrap_or_else(|| tags.get()).to_owned()))
        };
        self.accounts().change_account_data(user, Some(to), TAGS, carry).await?;
        Ok(())
    }
}

/// Push rules in which the rule of one room is that of another room, too; `None` if there is none or
/// the other has one already.
fn with_rule(rules: &str, from: &RoomId, to: &RoomId) -> Option<String> {
    let mut rules: Value = serde_json::from_str(rules).ok()?;
    let of_rooms = rules.get_mut("global")?.get_mut("room")?.as_array_mut()?;
    let of = |room: &RoomId| of_rooms.iter().find(|rule| rule["rule_id"] == room.as_str());
    if of(to).is_some() {
        return None;
    }
    let mut rule = of(from)?.clone();
    rule["rule_id"] = to.as_str().into();
    of_rooms.push(rule);
    Some(rules.to_string())
}

#[cfg(test)]
mod tests {
    use ruma::room_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rooms_rule_is_copied_once() {
        let (old, new) = (room_id!("!old:a.example"), room_id!("!new:a.example"));
        let rule = |id: &str| json!({ "rule_id": id, "actions": [], "enabled": true });
        let rules = json!({ "global": { "room": [rule(old.as_str())] } }).to_string();
        let both = with_rule(&rules, old, new).expect("there is a rule");
        let expected = json!({ "global": { "room": [rule(old.as_str()), rule(new.as_str())] } });
        assert_eq!(serde_json::from_str::<Value>(&both).expect("is JSON"), expected);
        assert_eq!(with_rule(&both, old, new), None, "it has one already");
        assert_eq!(with_rule(&rules, new, old), None, "there is none to copy");
        assert_eq!(with_rule("{}", old, new), None);
    }
}
