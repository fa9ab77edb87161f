//! What lists need to know of a room, kept in memory until something happens there.

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_data::{Change, Data, Event, Part, Place, StreamPos, rows::HeadRow, try_together};
use blaupause_graph::StateRoot;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, room::RoomType};
use serde::Deserialize;

use super::lists::room_type;
use crate::{Boxed, Sync, SyncError};

/// Rooms whose facts are kept in memory.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// Newest events among which the last message is looked for: first a few, then more.
const BUMP_LOOK_FIRST: u32 = 4;
const BUMP_LOOK_MAX: u32 = 30;

/// Facts of a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Position of the last event that moves a room up.
    pub bump: StreamPos,
    pub name: Option<String>,
    pub avatar: Option<String>,
    pub encrypted: bool,
    pub room_type: Option<RoomType>,
    pub joined: u64,
    pub invited: u64,
}

/// State keys that facts come from, in the order of the fields.
const KEYS: [&str; 4] = ["m.room.create", "m.room.encryption", "m.room.name", "m.room.avatar"];

/// Recently used facts.
#[derive(Clone)]
pub(crate) struct FactsCache(Arc<Mutex<Cached>>);

struct Cached {
    rooms: LruCache<OwnedRoomId, Entry>,
    /// The newest batch that was followed.
    followed: StreamPos,
}

struct Entry {
    facts: Arc<Facts>,
    /// The state that they follow from, but for the last message.
    state: StateRoot,
    /// Everything up to here is in the facts.
    fresh_at: StreamPos,
    /// When something last happened in the room, or later.
    changed_at: StreamPos,
}

impl FactsCache {
    pub(crate) fn new(data: &Data) -> Self {
        let cached = Cached { rooms: LruCache::new(CACHED_MAX), followed: data.position() };
        let cache = Self(Arc::new(Mutex::new(cached)));
        let follower = cache.clone();
        data.feed().follow(Box::new(move |pos, changes| {
            let mut cached = follower.0.lock();
            cached.followed = pos;
            for change in changes.iter() {
                let (Change::Event { room, .. } | Change::Redacted { room, .. }) = change else {
                    continue;
                };
                let Some(entry) = cached.rooms.peek_mut(room) else { continue };
                entry.changed_at = pos;
                if matches!(change, Change::Redacted { .. }) {
                    // The same state says something else now.
                    entry.state = StateRoot::EMPTY;
                }
            }
        }));
        cache
    }

    /// Facts that are fresh; otherwise the old ones, and the state that they follow from.
    fn get(&self, room: &OwnedRoomId) -> Result<Arc<Facts>, (StateRoot, Arc<Facts>)> {
        let mut cached = self.0.lock();
        let changed_at = cached.followed;
        let entry = cached.rooms.get_or_insert_mut(room.clone(), || Entry {
            facts: Arc::default(),
            state: StateRoot::EMPTY,
            fresh_at: StreamPos(0),
            changed_at: changed_at.max(StreamPos(1)),
        });
        let facts = Arc::clone(&entry.facts);
        if entry.changed_at <= entry.fresh_at { Ok(facts) } else { Err((entry.state, facts)) }
    }

    /// Keep facts that were read when everything up to `fresh_at` could be read.
    fn put(&self, room: &OwnedRoomId, state: StateRoot, facts: &Arc<Facts>, fresh_at: StreamPos) {
        let mut cached = self.0.lock();
        let Some(entry) = cached.rooms.peek_mut(room) else { return };
        if fresh_at < entry.fresh_at {
            return;
        }
        entry.facts = Arc::clone(facts);
        entry.fresh_at = fresh_at;
        // What changed meanwhile may have been a redaction.
        entry.state = if entry.changed_at <= fresh_at { state } else { StateRoot::EMPTY };
    }
}

impl Sync {
    /// Facts of rooms in the order asked; of rooms this server is not in, nothing is known.
    pub(super) fn facts<'a>(&'a self, rooms: &'a [OwnedRoomId]) -> Boxed<'a, Vec<Arc<Facts>>> {
        // Erased: the compiler cannot see through futures of futures that borrow.
        Box::pin(self.find_facts(rooms))
    }

    async fn find_facts(&self, rooms: &[OwnedRoomId]) -> Result<Vec<Arc<Facts>>, SyncError> {
        let mut found: Vec<_> = rooms.iter().map(|room| self.0.facts.get(room)).collect();
        let stale = rooms.iter().zip(&found).filter_map(|(room, found)| {
            let (state, facts) = found.as_ref().err()?;
            Some(self.renewed(room, *state, Arc::clone(facts)))
        });
        let mut renewed = try_together(stale).await?.into_iter();
        for facts in found.iter_mut().filter(|facts| facts.is_err()) {
            if let Some(renewed) = renewed.next() {
                *facts = Ok(renewed);
            }
        }
        Ok(found.into_iter().map(|facts| facts.unwrap_or_default()).collect())
    }

    /// Facts of one room as they are now. Most events change only the place of the last message.
    async fn renewed(
        &self,
        room: &OwnedRoomId,
        state: StateRoot,
        old: Arc<Facts>,
    ) -> Result<Arc<Facts>, SyncError> {
        let data = self.data();
        let part = data.parts().room(room);
        let fresh_at = data.position();
        let until = Place::after(fresh_at);
        let mut look = BUMP_LOOK_FIRST;
        let (bump, now) = loop {
            let stretch = data.stretch(part, None, until, look).await?;
            let numbers: Vec<_> =
                stretch.entries.iter().map(|(_, entry)| (part, entry.no)).collect();
            let events = data.events(&numbers).await?;
            let at = |event: &Arc<Event>| event.place?.position();
            let newest = events.iter().flatten().find(|event| bumps(&event.kind));
            if newest.is_some() || look == BUMP_LOOK_MAX || events.len() < look as usize {
                let bump = newest.or_else(|| events.iter().flatten().last()).and_then(at);
                break (bump.unwrap_or_default(), stretch.state_until);
            }
            look = BUMP_LOOK_MAX;
        };
        let mut facts = if now == state && now != StateRoot::EMPTY {
            (*old).clone()
        } else {
            self.state_facts(part, now).await?
        };
        facts.bump = bump;
        let facts = Arc::new(facts);
        self.0.facts.put(room, now, &facts, fresh_at);
        Ok(facts)
    }

    /// What a room's state says.
    async fn state_facts(&self, part: Part, state: StateRoot) -> Result<Facts, SyncError> {
        #[derive(Deserialize)]
        struct Create {
            #[serde(rename = "type")]
            kind: Option<String>,
        }
        #[derive(Deserialize)]
        struct Name {
            name: Option<String>,
        }
        #[derive(Deserialize)]
        struct Avatar {
            url: Option<String>,
        }
        let keys = KEYS.map(|kind| (kind.to_owned(), String::new())).to_vec();
        let (head, events) = tokio::join!(
            self.data().get::<HeadRow>(part, &()),
            self.rooms().state_events_at(part, state, keys),
        );
        let (Some(head), events) = (head?, events?) else { return Ok(Facts::default()) };
        let find = |kind: &str| events.iter().find(|event| event.kind == kind);
        let [create, encryption, name, avatar] = KEYS.map(find);
        let not_empty = |text: &String| !text.is_empty();
        Ok(Facts {
            bump: StreamPos(0),
            name: name.and_then(|event| event.content_as::<Name>()?.name).filter(not_empty),
            avatar: avatar.and_then(|event| event.content_as::<Avatar>()?.url).filter(not_empty),
            encrypted: encryption.is_some(),
            room_type: room_type(create.and_then(|event| event.content_as::<Create>()?.kind)),
            joined: head.joined,
            invited: head.invited,
        })
    }
}

/// Event types that move a room up in lists (MSC4186, "Room list ordering").
fn bumps(kind: &str) -> bool {
    matches!(
        kind,
        "m.room.create"
            | "m.room.message"
            | "m.room.encrypted"
            | "m.sticker"
            | "m.call.invite"
            | "m.poll.start"
            | "org.matrix.msc3381.poll.start"
            | "m.beacon_info"
            | "org.matrix.msc3672.beacon_info"
    )
}
