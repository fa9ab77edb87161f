//! Creators stand above all power levels where the room version says so (version 12).

use blaupause_graph::{Draft, Refusal};
use ruma::{
    OwnedUserId,
    events::{StateEventType, TimelineEventType},
    state_res::events::RoomCreateEvent,
};
use serde_json::{Map, Value};

use crate::{RoomsError, append::Appending, validate};

/// What creators had in older versions. Who does not know the newer ones writes it for them still.
const LEVEL_AS_BEFORE: i64 = 100;

impl Appending<'_> {
    /// Power levels that give creators what they had in older versions are not what this version
    /// understands. That is said to those who could set them otherwise; to all others, and to who
    /// wants more than that, that they may not.
    pub(crate) async fn must_not_level_creators(
        &mut self,
        draft: &Draft,
    ) -> Result<(), RoomsError> {
        if draft.kind != TimelineEventType::RoomPowerLevels
            || !self.hot.rules.authorization.explicitly_privilege_room_creators
        {
            return Ok(());
        }
        self.look_up(&[(StateEventType::RoomCreate, String::new())]).await?;
        let rules = &self.hot.rules.authorization;
        let create = self.state(&StateEventType::RoomCreate, "");
        let creators = create.and_then(|it| RoomCreateEvent::new(it).creators(rules).ok());
        let creators: Vec<OwnedUserId> = creators.into_iter().flatten().collect();
        let Some(without) = without(&creators, draft.content.get()) else { return Ok(()) };
        let otherwise = Draft { content: validate::raw(&without)?, ..draft.clone() };
        self.would_allow(&otherwise).await?;
        let why = "creators stand above all power levels: `users` does not name them";
        Err(Refusal::Malformed(why.to_owned()).into())
    }
}

/// The power levels without those of the creators; `None` if there are none as they were before.
fn without(creators: &[OwnedUserId], content: &str) -> Option<Map<String, Value>> {
    let mut levels: Map<String, Value> = serde_json::from_str(content).ok()?;
    let users = levels.get_mut("users")?.as_object_mut()?;
    let mut is_as_before = false;
    for creator in creators {
        let level = users.remove(creator.as_str()).and_then(|level| level.as_i64());
        is_as_before |= level.is_some_and(|level| level <= LEVEL_AS_BEFORE);
    }
    is_as_before.then_some(levels)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_levels_that_creators_had_before_are_taken_out() {
        let creators = [user_id!("@a:x.org").to_owned(), user_id!("@b:x.org").to_owned()];
        let left = |users: Value| without(&creators, &json!({ "users": users }).to_string());
        let others = Map::from_iter([("users".to_owned(), json!({ "@c:x.org": 50 }))]);
        assert_eq!(left(json!({ "@a:x.org": 100, "@c:x.org": 50 })), Some(others.clone()));
        assert_eq!(left(json!({ "@b:x.org": 0, "@c:x.org": 50 })), Some(others));
        assert_eq!(left(json!({ "@a:x.org": 101 })), None, "wants more than there was");
        assert_eq!(left(json!({ "@c:x.org": 100 })), None, "is no creator");
        assert_eq!(without(&creators, "{}"), None);
    }
}
