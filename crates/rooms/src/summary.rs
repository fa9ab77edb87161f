//! Rooms in a few words: for the directory, for spaces, for who is about to join.

use std::{collections::HashMap, sync::Arc};

use blaupause_data::{Event, ReadSet, rows::HeadRow};
use ruma::{
    EventEncryptionAlgorithm, OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, UInt,
    events::StateEventType,
    room::{JoinRule, JoinRuleKind, JoinRuleSummary, RoomSummary, RoomType},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Rooms, RoomsError};

/// The state that a summary is made of.
const SUMMARY_TYPES: [StateEventType; 9] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomTopic,
    StateEventType::RoomAvatar,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomJoinRules,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomGuestAccess,
    StateEventType::RoomEncryption,
];

/// A room's current state, as far as it was asked for.
struct Said(HashMap<StateEventType, Arc<Event>>);

impl Said {
    /// One field of a state event's content, if it has the right type.
    fn get<T: DeserializeOwned>(&self, kind: &StateEventType, field: &str) -> Option<T> {
        let event = self.0.get(kind)?;
        let mut content: HashMap<String, serde_json::Value> = event.content_as()?;
        serde_json::from_value(content.remove(field)?).ok()
    }

    fn text(&self, kind: &StateEventType, field: &str) -> Option<String> {
        self.get::<String>(kind, field).filter(|text| !text.is_empty())
    }
}

impl Rooms {
    /// Summaries of rooms, in the order asked, `None` for unknown ones; in at most four round
    /// trips, however many rooms. Whether the asking person may see them is the caller's care.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn summaries(
        &self,
        rooms: &[OwnedRoomId],
    ) -> Result<Vec<Option<RoomSummary>>, RoomsError> {
        let parts: Vec<_> = rooms.iter().map(|room| self.data().parts().room(room)).collect();
        let mut want = ReadSet::new();
        let heads: Vec<_> = parts.iter().map(|part| want.get::<HeadRow>(*part, &())).collect();
        let got = want.run(self.data()).await?;
        let wanted: Vec<_> = parts
            .iter()
            .flat_map(|part| SUMMARY_TYPES.map(|kind| (*part, (kind, String::new()))))
            .collect();
        let mut states = self.current_states(&wanted).await?.into_iter();
        let mut summaries = Vec::with_capacity(rooms.len());
        for (room, head) in rooms.iter().zip(heads) {
            let said = SUMMARY_TYPES.into_iter().zip(states.by_ref());
            let said = said.filter_map(|(kind, event)| Some((kind, event?))).collect();
            let head = got.one(head)?.filter(|head| head.room_id == *room);
            summaries.push(head.map(|head| {
                let mut summary = summary(room.clone(), head.joined, &Said(said));
                summary.room_version = Some(head.value.version);
                summary
            }));
        }
        Ok(summaries)
    }
}

fn summary(room: OwnedRoomId, joined: u64, said: &Said) -> RoomSummary {
    #[derive(Deserialize)]
    struct Guests {
        guest_access: String,
    }
    let rule = said.0.get(&StateEventType::RoomJoinRules);
    let rule = rule.and_then(|event| event.content_as::<JoinRule>());
    let guests = said.0.get(&StateEventType::RoomGuestAccess);
    let guests = guests.and_then(|event| event.content_as::<Guests>());
    let visibility = said.text(&StateEventType::RoomHistoryVisibility, "history_visibility");
    let mut summary = RoomSummary::new(
        room,
        rule.map_or(JoinRuleSummary::from(JoinRuleKind::Invite), JoinRuleSummary::from),
        guests.is_some_and(|guests| guests.guest_access == "can_join"),
        UInt::new_saturating(joined),
        visibility.as_deref() == Some("world_readable"),
    );
    summary.name = said.text(&StateEventType::RoomName, "name");
    summary.topic = said.text(&StateEventType::RoomTopic, "topic");
    let avatar = said.text(&StateEventType::RoomAvatar, "url");
    summary.avatar_url = avatar.map(OwnedMxcUri::from);
    summary.canonical_alias =
        said.get::<OwnedRoomAliasId>(&StateEventType::RoomCanonicalAlias, "alias");
    summary.room_type = said.get::<RoomType>(&StateEventType::RoomCreate, "type");
    summary.encryption =
        said.get::<EventEncryptionAlgorithm>(&StateEventType::RoomEncryption, "algorithm");
    summary
}
