//! Clients of both kinds of sync: they poll at random times, lose answers, give up requests, ask
//! for few events, and fill the holes with `/messages`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use blaupause_rooms::Reader;
use blaupause_sync::{SlidingRequest, SyncError, SyncRequest, SyncToken};
use ruma::{
    OwnedRoomId, UInt,
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::{v3, v5},
    },
    presence::PresenceState,
    serde::Raw,
};
use serde_json::Value;

use crate::{
    memory::{Memory, Told, parsed},
    world::World,
};

/// How long a waiting client waits.
const WAIT: Duration = Duration::from_secs(30);

/// A device and what it knows.
pub struct Client {
    world: World,
    reader: Reader,
    /// Where it is; `None`: it starts.
    pos: Option<String>,
    rooms: HashMap<OwnedRoomId, Memory>,
    /// Rooms that this connection of sliding sync was told of.
    told: HashSet<OwnedRoomId>,
    /// How many events it wants with every request; `None`: now more, now less.
    limit: Option<u64>,
}

/// What one answer said.
struct Answer {
    pos: String,
    rooms: Vec<(OwnedRoomId, Told)>,
    /// It was about every room, and the client is not behind.
    is_complete: bool,
}

/// What became of a request.
enum Outcome {
    Answered(Answer),
    /// The client did not get the answer and knows nothing of it.
    Lost,
}

/// A request of either kind.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    V3,
    Sliding,
}

impl Client {
    pub fn new(world: &World, reader: Reader) -> Self {
        let limit = world.chance.one_in(2).then(|| world.chance.below(6));
        let (rooms, told) = (HashMap::new(), HashSet::new());
        Self { world: world.clone(), reader, pos: None, rooms, told, limit }
    }

    fn limit(&self) -> u64 {
        self.limit.unwrap_or_else(|| self.world.chance.below(6))
    }

    /// Follow until everything that was written when `is_over` said so is known; then compare.
    pub async fn follow(&mut self, kind: Kind, is_over: impl Fn() -> bool) {
        let chance = self.world.chance.clone();
        for _ in 0..10_000 {
            // Looked at before asking: what was told of before is in the answer.
            let is_over = is_over();
            let wait = !is_over && chance.one_in(2);
            if chance.one_in(100) {
                self.pos = None;
            }
            let started = tokio::time::Instant::now();
            let outcome = match kind {
                Kind::V3 => self.ask_v3(wait).await,
                Kind::Sliding => self.ask_sliding(wait, is_over).await,
            };
            let Outcome::Answered(answer) = outcome else { continue };
            let waited_in_vain = wait && started.elapsed() >= WAIT;
            let says_nothing = answer.rooms.is_empty();
            // Sliding sync tells who wants more than before the newest events again.
            let again = matches!(kind, Kind::Sliding) && self.limit.is_none();
            self.take_in(answer.pos, answer.rooms, again);
            if waited_in_vain && says_nothing && answer.is_complete {
                self.misses_nothing().await;
            }
            if is_over && says_nothing && answer.is_complete {
                return self.compare().await;
            }
            if chance.one_in(3) {
                let room = self.world.room().clone();
                self.fill(&room).await;
            }
            chance.dawdle(20).await;
        }
        panic!("the client never learns everything");
    }

    fn take_in(&mut self, pos: String, rooms: Vec<(OwnedRoomId, Told)>, again: bool) {
        self.pos = Some(pos);
        for (room, told) in rooms {
            told.events.iter().for_each(|event| self.world.check_transaction(&self.reader, event));
            self.rooms.entry(room).or_default().hear(told, again);
        }
    }

    async fn fill(&mut self, room: &OwnedRoomId) -> bool {
        let Some(memory) = self.rooms.get_mut(room) else { return false };
        let (world, reader) = (&self.world, &self.reader);
        let check = |event: &Value| world.check_transaction(reader, event);
        memory.fill(&world.server, reader, room, &world.chance, check).await
    }

    /// A client that waited and was told nothing knows the newest events.
    async fn misses_nothing(&self) {
        for room in self.world.rooms.iter() {
            let newest = self.world.truth(room).await.pop();
            let memory = self.rooms.get(room).expect("the first answer names every room");
            // Who asked for no events at all knows of a hole at the end.
            if let Some(known) = memory.newest() {
                assert_eq!(Some(known), newest.as_deref(), "was not woken for {room}");
            }
        }
    }

    async fn compare(&mut self) {
        for room in self.world.rooms.clone().iter() {
            while self.fill(room).await {}
            let known = self.rooms.get(room).map(Memory::events).unwrap_or_default();
            assert_eq!(known, self.world.truth(room).await, "{:?}", self.reader);
        }
    }

    /// Wait for an answer, or lose it: on the way, or because the client gives up waiting. The
    /// server may go on with a request that was given up.
    async fn send<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let chance = &self.world.chance;
        if chance.one_in(8) {
            let mut request = Box::pin(request);
            let answered = tokio::select! {
                biased;
                answer = &mut request => Some(answer),
                () = chance.dawdle(12) => None,
            };
            if answered.is_none() && chance.one_in(2) {
                drop(self.world.server.data.env().spawn(request));
            }
            return answered.filter(|_| chance.one_in(2));
        }
        let answer = request.await;
        (!chance.one_in(8)).then_some(answer)
    }

    async fn ask_v3(&self, wait: bool) -> Outcome {
        let chance = &self.world.chance;
        let filter = serde_json::json!({ "room": {
            "timeline": { "limit": self.limit() },
            "state": { "lazy_load_members": chance.one_in(2) },
        } });
        let filter: FilterDefinition = serde_json::from_value(filter).expect("a filter");
        let is_first = self.pos.is_none();
        let request = SyncRequest {
            user: self.reader.user.clone(),
            device: self.reader.device.clone(),
            since: self.pos.as_deref().map(|pos| SyncToken::parse(pos).expect("a token of ours")),
            filter: Arc::new(filter),
            full_state: chance.one_in(20),
            set_presence: PresenceState::Offline,
            timeout: if wait { WAIT } else { Duration::ZERO },
            use_state_after: chance.one_in(2),
        };
        let sync = self.world.sync.clone();
        let Some(answer) = self.send(async move { sync.v3(request).await }).await else {
            return Outcome::Lost;
        };
        let answer = answer.expect("an answer");
        let is_complete = answer.to_device.events.is_empty();
        let told = |(room, joined): (OwnedRoomId, v3::JoinedRoom)| {
            let told = Told {
                initial: is_first,
                limited: joined.timeline.limited,
                prev_batch: joined.timeline.prev_batch,
                events: joined.timeline.events.iter().map(event).collect(),
            };
            (room, told)
        };
        // An answer for other reasons may name a room without having events.
        let says = |(_, told): &(OwnedRoomId, Told)| told.limited || !told.events.is_empty();
        let rooms = answer.rooms.join.into_iter().map(told).filter(says).collect();
        Outcome::Answered(Answer { pos: answer.next_batch, rooms, is_complete })
    }

    async fn ask_sliding(&mut self, wait: bool, is_over: bool) -> Outcome {
        let chance = self.world.chance.clone();
        let mut body = v5::Request::new();
        body.pos.clone_from(&self.pos);
        body.timeout = Some(if wait { WAIT } else { Duration::ZERO });
        let sees_all = is_over || chance.one_in(2);
        let mut list = v5::request::List::default();
        // Sometimes only the room where something happened last, sometimes none.
        let last: u32 = if sees_all { 20 } else { 0 };
        let first: u32 = if !sees_all && chance.one_in(4) { 5 } else { 0 };
        list.ranges = vec![(first.into(), (first + last).into())];
        list.room_details.timeline_limit = UInt::new_saturating(self.limit());
        body.lists.insert("all".to_owned(), list);
        if chance.one_in(2) {
            let mut subscription = v5::request::RoomSubscription::default();
            subscription.timeline_limit = UInt::new_saturating(self.limit());
            body.room_subscriptions.insert(self.world.room().clone(), subscription);
        }
        body.extensions.typing.enabled = Some(chance.one_in(2));
        body.extensions.receipts.enabled = Some(chance.one_in(2));
        body.extensions.account_data.enabled = Some(chance.one_in(2));
        let (user, device) = (self.reader.user.clone(), self.reader.device.clone());
        let request = SlidingRequest { user, device, body };
        let sync = self.world.sync.clone();
        let Some(answer) = self.send(async move { sync.sliding(request).await }).await else {
            return Outcome::Lost;
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(SyncError::UnknownPos) => {
                self.pos = None;
                return Outcome::Lost;
            }
            Err(error) => panic!("{error}"),
        };
        if self.pos.is_none() {
            self.told.clear();
        }
        for (room, said) in &answer.rooms {
            self.is_plausible(room, said);
        }
        self.told.extend(answer.rooms.keys().cloned());
        let told = |(room, said): (OwnedRoomId, v5::response::Room)| {
            let told = Told {
                initial: said.initial == Some(true),
                limited: said.limited,
                prev_batch: said.prev_batch,
                events: said.timeline.iter().map(event).collect(),
            };
            (room, told)
        };
        let says = |(_, told): &(OwnedRoomId, Told)| {
            told.initial || told.limited || !told.events.is_empty()
        };
        let rooms = answer.rooms.into_iter().map(told).filter(says).collect();
        Outcome::Answered(Answer { pos: answer.pos, rooms, is_complete: sees_all })
    }
}

impl Client {
    /// A room is told from its beginning once on a connection, and what is live in it is new.
    fn is_plausible(&self, room: &OwnedRoomId, said: &v5::response::Room) {
        let initial = said.initial == Some(true);
        assert_eq!(initial, !self.told.contains(room), "{room} is told wrongly: {said:?}");
        let is_known = |event: &Value| {
            let id = event["event_id"].as_str().expect("an id");
            self.rooms.get(room).is_some_and(|memory| memory.knows(id))
        };
        let live = said.num_live.map_or(0, |live| u64::from(live) as usize);
        assert!(live <= said.timeline.len(), "more is live than there is: {said:?}");
        let first = self.pos.is_none();
        assert!(!first || live == 0, "live before the connection was there: {said:?}");
        let live = said.timeline.iter().rev().take(live).map(event);
        assert!(!live.clone().any(|event| is_known(&event)), "known events are live: {said:?}");
    }
}

fn event<T>(raw: &Raw<T>) -> Value {
    parsed(raw.json())
}
