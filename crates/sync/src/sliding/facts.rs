//! What lists need to know of a room, kept in memory until something happens there.

use std::{num::NonZeroUsize, ops::Bound, sync::Arc};

use blaupause_data::{
    Change, Data, Event, Order, Place, ReadSet, StreamPos,
    rows::{HeadRow, TimelineRow},
};
use blaupause_graph::StateRoot;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, room::RoomType};
use serde::Deserialize;

use super::lists::room_type;
use crate::{Sync, SyncError};

/// Rooms whose facts are kept in memory.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// Newest events among which the last message is looked for.
const BUMP_LOOK_MAX: u32 = 30;

/// Facts of a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Position of the last event that moves a room up.
    pub bump: StreamPos,
    pub name: Option<String>,
    pub avatar: Option<String>,
    pub has_alias: bool,
    pub encrypted: bool,
    pub room_type: Option<RoomType>,
    pub joined: u64,
    pub invited: u64,
}

/// State keys that facts come from, in the order of the fields.
const KEYS: [&str; 5] = [
    "m.room.create",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.canonical_alias",
];

/// Recently used facts.
#[derive(Clone)]
pub(crate) struct FactsCache(Arc<Mutex<Cached>>);

struct Cached {
    facts: LruCache<OwnedRoomId, Arc<Facts>>,
    epoch: u64,
}

impl FactsCache {
    pub(crate) fn new(data: &Data) -> Self {
        let facts = LruCache::new(CACHED_MAX);
        let cache = Self(Arc::new(Mutex::new(Cached { facts, epoch: 0 })));
        let follower = cache.clone();
        data.feed().follow(Box::new(move |_, changes| {
            for change in changes.iter() {
                if let Change::Event { room, .. } | Change::Redacted { room, .. } = change {
                    let mut cached = follower.0.lock();
                    cached.facts.pop(room);
                    cached.epoch += 1;
                }
            }
        }));
        cache
    }
}

impl Sync {
    /// Facts of rooms in the order asked; of rooms this server is not in, nothing is known.
    pub(super) async fn facts(&self, rooms: &[OwnedRoomId]) -> Result<Vec<Arc<Facts>>, SyncError> {
        let cache = &self.0.facts;
        let (mut found, epoch): (Vec<Option<Arc<Facts>>>, u64) = {
            let mut cached = cache.0.lock();
            let found = rooms.iter().map(|room| cached.facts.get(room).cloned()).collect();
            (found, cached.epoch)
        };
        let absent: Vec<usize> = (0..rooms.len()).filter(|index| found[*index].is_none()).collect();
        if !absent.is_empty() {
            let wanted: Vec<_> = absent.iter().map(|index| &rooms[*index]).collect();
            let made = self.make_facts(&wanted).await?;
            let mut cached = cache.0.lock();
            for (index, facts) in absent.into_iter().zip(made) {
                let facts = Arc::new(facts);
                if cached.epoch == epoch {
                    cached.facts.put(rooms[index].clone(), Arc::clone(&facts));
                }
                found[index] = Some(facts);
            }
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    async fn make_facts(&self, rooms: &[&OwnedRoomId]) -> Result<Vec<Facts>, SyncError> {
        let data = self.data();
        let mut want = ReadSet::new();
        let slots: Vec<_> = rooms
            .iter()
            .map(|room| {
                let part = data.parts().room(room);
                let head = want.get::<HeadRow>(part, &());
                let unbounded = Bound::<&Place>::Unbounded;
                let newest = want.range::<TimelineRow>(
                    part,
                    unbounded,
                    unbounded,
                    Order::Backward,
                    BUMP_LOOK_MAX,
                );
                (part, head, newest)
            })
            .collect();
        let got = want.run(data).await?;
        let mut all = Vec::with_capacity(rooms.len());
        for (part, head, newest) in slots {
            let Some(head) = got.one(head)? else {
                all.push(Facts::default());
                continue;
            };
            let entries = got.many(newest)?.rows;
            let numbers: Vec<_> = entries.iter().map(|(_, entry)| (part, entry.no)).collect();
            let events = data.events(&numbers).await?;
            let bump = events
                .iter()
                .flatten()
                .find(|event| bumps(&event.kind))
                .or_else(|| events.iter().flatten().last())
                .and_then(|event| event.place?.position())
                .unwrap_or_default();
            let mut facts =
                Facts { bump, joined: head.joined, invited: head.invited, ..Facts::default() };
            self.add_state_facts(part, head.state, &mut facts).await?;
            all.push(facts);
        }
        Ok(all)
    }

    async fn add_state_facts(
        &self,
        part: blaupause_data::Part,
        state: StateRoot,
        facts: &mut Facts,
    ) -> Result<(), SyncError> {
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
        #[derive(Deserialize)]
        struct Alias {
            alias: Option<String>,
        }
        let keys = KEYS.map(|kind| (kind.to_owned(), String::new()));
        let numbers = self.data().state_lookup(part, state, &keys).await?;
        let wanted: Vec<_> = numbers.iter().flatten().map(|no| (part, *no)).collect();
        let mut events = self.data().events(&wanted).await?.into_iter();
        let [create, encryption, name, avatar, alias]: [Option<Arc<Event>>; 5] =
            std::array::from_fn(|index| numbers[index].and_then(|_| events.next().flatten()));
        facts.room_type = room_type(create.and_then(|event| event.content_as::<Create>()?.kind));
        facts.encrypted = encryption.is_some();
        let not_empty = |text: &String| !text.is_empty();
        facts.name = name.and_then(|event| event.content_as::<Name>()?.name).filter(not_empty);
        facts.avatar = avatar.and_then(|event| event.content_as::<Avatar>()?.url).filter(not_empty);
        facts.has_alias = alias.and_then(|event| event.content_as::<Alias>()?.alias).is_some();
        Ok(())
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
