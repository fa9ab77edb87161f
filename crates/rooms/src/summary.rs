//! Rooms in a few words: for the directory, for spaces, for who is about to join.

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use blaupause_data::{
    Change, Event, Part, Parts, ReadSet,
    rows::{CurrentRow, HeadRow, RoomHead},
};
use blaupause_graph::StateRoot;
use lru::LruCache;
use parking_lot::Mutex;
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

/// Summaries kept in memory (about 500 bytes each): those of the whole directory.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

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

/// Summaries by room, each with the state that it was made of. Joined members are counted anew for
/// each question.
pub(crate) struct SummaryCache(Mutex<Cached>);

struct Cached {
    summaries: LruCache<Part, (StateRoot, RoomSummary)>,
    /// Grows with every redaction: it changes what an event says, and not the state's root.
    epoch: u64,
}

impl Default for SummaryCache {
    fn default() -> Self {
        Self(Mutex::new(Cached { summaries: LruCache::new(CACHED_MAX), epoch: 0 }))
    }
}

impl SummaryCache {
    pub(crate) fn forget_changed(&self, parts: Parts, change: &Change) {
        if let Change::Redacted { room, .. } = change {
            let mut cached = self.0.lock();
            cached.epoch += 1;
            cached.summaries.pop(&parts.room(room));
        }
    }

    /// What is known of a room with this head.
    fn get(&self, part: Part, head: &RoomHead) -> Option<RoomSummary> {
        let mut cached = self.0.lock();
        let (root, summary) = cached.summaries.get(&part)?;
        let mut summary = (*root == head.state).then(|| summary.clone())?;
        summary.num_joined_members = UInt::new_saturating(head.joined);
        Some(summary)
    }
}

impl Rooms {
    /// Summaries of rooms, in the order asked, `None` for unknown ones; in at most four round
    /// trips, however many rooms, and in one for those whose state did not change since the last
    /// time. Whether the asking person may see them is the caller's care.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn summaries(
        &self,
        rooms: &[OwnedRoomId],
    ) -> Result<Vec<Option<RoomSummary>>, RoomsError> {
        let parts: Vec<_> = rooms.iter().map(|room| self.data().parts().room(room)).collect();
        let epoch = self.summary_cache().0.lock().epoch;
        let heads = self.data().get_many::<HeadRow>(parts.iter().map(|part| (*part, &()))).await?;
        let mut summaries = Vec::with_capacity(rooms.len());
        let mut unknown = Vec::new();
        for (at, (room, head)) in rooms.iter().zip(heads).enumerate() {
            let head = head.filter(|head| head.room_id == *room);
            let known = head.as_ref().and_then(|head| self.summary_cache().get(parts[at], head));
            if head.is_some() && known.is_none() {
                unknown.push((at, parts[at]));
            }
            summaries.push(known);
        }
        for ((at, part), (state, summary)) in unknown.iter().zip(self.summarize(&unknown).await?) {
            let mut cached = self.summary_cache().0.lock();
            if cached.epoch == epoch {
                cached.summaries.put(*part, (state, summary.clone()));
            }
            summaries[*at] = Some(summary);
        }
        Ok(summaries)
    }

    /// Summaries of rooms that exist, made anew, each with the state that it was made of.
    async fn summarize(
        &self,
        rooms: &[(usize, Part)],
    ) -> Result<Vec<(StateRoot, RoomSummary)>, RoomsError> {
        let data = self.data();
        let names = rooms.iter().flat_map(|(_, part)| {
            SUMMARY_TYPES.map(|kind| (*part, (kind.to_string(), String::new())))
        });
        let numbers = self.key_numbers().get(data, names).await?;
        // Heads and current events from one view, so that a summary belongs to its state.
        let mut want = ReadSet::new();
        let mut slots = Vec::new();
        for ((_, part), numbers) in rooms.iter().zip(numbers.chunks(SUMMARY_TYPES.len())) {
            let head = want.get::<HeadRow>(*part, &());
            let current = numbers.iter().map(|no| Some(want.get::<CurrentRow>(*part, &(*no)?)));
            slots.push((*part, head, current.collect::<Vec<_>>()));
        }
        let got = want.run(data).await?;
        let (mut heads, mut said) = (Vec::new(), Vec::new());
        for (part, head, current) in slots {
            let absent = || blaupause_data::DataError::Damaged("meta/h: absent".into());
            let head = got.one(head)?.ok_or_else(absent)?.value;
            for (kind, slot) in SUMMARY_TYPES.iter().zip(current) {
                if let Some(slot) = slot
                    && let Some(no) = got.one(slot)?
                {
                    said.push((heads.len(), kind.clone(), (part, no.value)));
                }
            }
            heads.push(head);
        }
        let numbers: Vec<_> = said.iter().map(|(.., no)| *no).collect();
        let events = data.events(&numbers).await?;
        let mut states: Vec<HashMap<_, _>> = heads.iter().map(|_| HashMap::new()).collect();
        for ((room, kind, _), event) in said.into_iter().zip(events) {
            states[room].extend(event.map(|event| (kind, event)));
        }
        let summarized = heads.into_iter().zip(states).map(|(head, said)| {
            let mut summary = summary(head.room_id, head.joined, &Said(said));
            summary.room_version = Some(head.version);
            (head.state, summary)
        });
        Ok(summarized.collect())
    }
}

/// Join rules of the specification.
const KNOWN_JOIN_RULES: [&str; 6] =
    ["public", "invite", "knock", "private", "restricted", "knock_restricted"];

fn summary(room: OwnedRoomId, joined: u64, said: &Said) -> RoomSummary {
    #[derive(Deserialize)]
    struct Guests {
        guest_access: String,
    }
    let rule = said.0.get(&StateEventType::RoomJoinRules);
    let rule = rule.and_then(|event| event.content_as::<JoinRule>());
    // By a rule that nobody knows nobody joins; ruma cannot write what it does not know.
    let rule = rule.filter(|rule| KNOWN_JOIN_RULES.contains(&rule.as_str()));
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
