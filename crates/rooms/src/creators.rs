//! Who made a room stands above its power levels (room version 12).

use ruma::{events::StateEventType, state_res::events::RoomCreateEvent};
use serde_json::value::RawValue;

use crate::{RoomsError, append::Appending, validate};

impl Appending<'_> {
    /// Power levels that give a level to somebody who is above all levels are a mistake of who asks.
    /// The rules of the room would refuse them, too, and say less.
    pub(crate) async fn must_not_name_creators(
        &mut self,
        content: &RawValue,
    ) -> Result<(), RoomsError> {
        let rules = self.hot.rules.clone();
        if !rules.authorization.explicitly_privilege_room_creators {
            return Ok(());
        }
        let name = (StateEventType::RoomCreate, String::new());
        self.look_up(std::slice::from_ref(&name)).await?;
        let Some(create) = self.state(&name.0, "") else { return Ok(()) };
        let creators = RoomCreateEvent::new(create).creators(&rules.authorization);
        let content = validate::object(content)?;
        let users = content.get("users").and_then(serde_json::Value::as_object);
        let named =
            |user: &ruma::OwnedUserId| users.is_some_and(|users| users.contains_key(user.as_str()));
        if creators.is_ok_and(|creators| creators.iter().any(named)) {
            return Err(RoomsError::Invalid("who created the room has no power level"));
        }
        Ok(())
    }
}
