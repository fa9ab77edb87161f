//! Servers, people, and words for what they do.

use std::{collections::BTreeMap, sync::Arc};

use blaupause_accounts::Accounts;
use blaupause_data::{
    Data, Db, Env, Event, Member,
    rows::{HeadRow, RoomHead, TimelineRow},
};
use blaupause_federation::Federation;
use blaupause_graph::{Draft, Parents, Pdu, order, seal, state_needed};
use blaupause_policy::{FederationMode, ServerPolicy};
use blaupause_store::MemStore;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    ServerName, UInt, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Value, json, value::RawValue};

use super::network::{End, Network};
use crate::{
    CreateRoom, Preset, Rooms, RoomsError, SendEvent, SendState, append::Appending, import::Import,
};

pub(super) const START_MS: u64 = 1_700_000_000_000;

/// One server.
#[derive(Clone)]
pub(super) struct Server {
    pub store: MemStore,
    pub data: Data,
    pub rooms: Rooms,
}

/// What the current state says: type, state key, event.
pub(super) type State = BTreeMap<(String, String), OwnedEventId>;

impl Server {
    pub(super) async fn new(name: &str, network: &Network) -> Self {
        let store = MemStore::new();
        let name = ServerName::parse(name).expect("a name");
        let env = Env::manual(START_MS);
        let data = Data::open(Db::Mem(store.clone()), &name, env).await.expect("opens");
        Self::over(store, data, network)
    }

    /// As after a new start: nothing but what is stored is known.
    pub(super) fn again(&self, network: &Network) -> Self {
        Self::over(self.store.clone(), self.data.clone(), network)
    }

    /// Another server of the same name, with all that is stored so far.
    pub(super) async fn copy(&self, network: &Network) -> Self {
        let store = self.store.copy();
        let env = Env::manual(START_MS);
        let data = Data::open(Db::Mem(store.clone()), self.name(), env).await.expect("opens");
        Self::over(store, data, network)
    }

    fn over(store: MemStore, data: Data, network: &Network) -> Self {
        let accounts = Accounts::new(data.clone(), blaupause_accounts::Settings::default());
        let wire = End { from: data.server_name().to_owned(), network: network.clone() };
        let servers = ServerPolicy { mode: FederationMode::Open, ..ServerPolicy::default() };
        let settings = blaupause_federation::Settings { servers, ..Default::default() };
        let federation = Federation::new(data.clone(), Arc::new(wire), settings);
        let rooms = Rooms::new(data.clone(), accounts, federation, Default::default());
        network.add(&rooms);
        Self { store, data, rooms }
    }

    pub(super) fn name(&self) -> &ServerName {
        self.data.server_name()
    }

    pub(super) fn user(&self, localpart: &str) -> OwnedUserId {
        UserId::parse(format!("@{localpart}:{}", self.name())).expect("a user id")
    }

    pub(super) async fn public_room(
        &self,
        creator: &UserId,
        version: RoomVersionId,
    ) -> OwnedRoomId {
        let mut request = CreateRoom::new(creator.to_owned());
        request.preset = Some(Preset::Public);
        request.version = Some(version);
        self.rooms.create(request).await.expect("a room")
    }

    pub(super) async fn say(&self, user: &UserId, room: &RoomId, text: &str) -> OwnedEventId {
        let content = json!({ "msgtype": "m.text", "body": text });
        self.send(user, room, "m.room.message", content).await.expect("sent")
    }

    pub(super) async fn send(
        &self,
        user: &UserId,
        room: &RoomId,
        kind: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomsError> {
        let event = SendEvent {
            room: room.to_owned(),
            sender: user.to_owned(),
            kind: kind.into(),
            content: raw(&content),
            transaction: None,
            timestamp: None,
            sticky_ms: None,
        };
        self.rooms.send(event).await
    }

    pub(super) async fn set(
        &self,
        user: &UserId,
        room: &RoomId,
        kind: &str,
        state_key: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomsError> {
        let state = SendState {
            room: room.to_owned(),
            sender: user.to_owned(),
            kind: kind.into(),
            state_key: state_key.to_owned(),
            content: raw(&content),
            timestamp: None,
            sticky_ms: None,
        };
        self.rooms.send_state(state).await
    }

    pub(super) async fn head(&self, room: &RoomId) -> RoomHead {
        let part = self.data.parts().room(room);
        self.data.get::<HeadRow>(part, &()).await.expect("reads").expect("the room").value
    }

    pub(super) async fn stored(&self, room: &RoomId, id: &OwnedEventId) -> Option<Arc<Event>> {
        let part = self.data.parts().room(room);
        let no = self.rooms.event_no(part, id).await.expect("reads")?;
        self.data.event(part, no).await.expect("reads")
    }

    /// An event as it travels.
    pub(super) async fn pdu(&self, room: &RoomId, id: &OwnedEventId) -> Box<RawValue> {
        let event = self.stored(room, id).await.expect("the event");
        RawValue::from_string(event.stored.pdu.clone()).expect("JSON")
    }

    /// Ids of the timeline, oldest first.
    pub(super) async fn timeline(&self, room: &RoomId) -> Vec<OwnedEventId> {
        let part = self.data.parts().room(room);
        let rows = self.data.list::<TimelineRow>(part, &(), u32::MAX).await.expect("reads").rows;
        let numbers: Vec<_> = rows.into_iter().map(|(_, row)| (part, row.value.no)).collect();
        let events = self.data.events(&numbers).await.expect("reads");
        events.into_iter().flatten().map(|event| event.stored.event_id.clone()).collect()
    }

    /// The current state as the tree has it; the rows that follow it must say the same.
    pub(super) async fn state(&self, room: &RoomId) -> State {
        let part = self.data.parts().room(room);
        let head = self.head(room).await;
        let entries = self.data.state_all(part, head.state).await.expect("reads");
        let keys: Vec<_> = entries.iter().map(|(key, _)| *key).collect();
        let names = self.data.state_key_names(part, &keys).await.expect("reads");
        let numbers: Vec<_> = entries.iter().map(|(_, no)| (part, *no)).collect();
        let events = self.data.events(&numbers).await.expect("reads");
        let mut state = State::new();
        let (mut joined, mut servers) = (0, BTreeMap::new());
        for (name, event) in names.into_iter().zip(events) {
            let (name, event) = (name.expect("a name"), event.expect("an event"));
            if name.0 == "m.room.member" && membership_of(&event) == Member::Join {
                joined += 1;
                let user = UserId::parse(&name.1).expect("a user");
                *servers.entry(user.server_name().to_owned()).or_insert(0) += 1;
            }
            state.insert(name, event.stored.event_id.clone());
        }
        self.rows_agree(room, &head, &state, joined).await;
        let told = self.data.servers_in(room).await.expect("reads");
        assert_eq!(told, servers.into_keys().collect::<Vec<_>>());
        state
    }

    async fn rows_agree(&self, room: &RoomId, head: &RoomHead, state: &State, joined: u64) {
        use blaupause_data::rows::CurrentRow;
        let part = self.data.parts().room(room);
        let rows = self.data.list::<CurrentRow>(part, &(), u32::MAX).await.expect("reads").rows;
        assert_eq!(rows.len(), state.len(), "rows of the current state");
        let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        let names = self.data.state_key_names(part, &keys).await.expect("reads");
        let numbers: Vec<_> = rows.iter().map(|(_, row)| (part, row.value)).collect();
        let events = self.data.events(&numbers).await.expect("reads");
        let current: State = names
            .into_iter()
            .zip(events)
            .map(|(name, event)| {
                (name.expect("a name"), event.expect("an event").stored.event_id.clone())
            })
            .collect();
        assert_eq!(current, *state);
        assert_eq!(head.joined, joined);
        let members = self.data.members(room, Member::Join).await.expect("reads");
        assert_eq!(members.len() as u64, joined);
    }

    /// An event of somebody here, sealed where the room stands here or after other events, allowed
    /// or not. It is not stored.
    pub(super) async fn forge(&self, at: &Server, room: &RoomId, event: Forged<'_>) -> Pdu {
        let mut lane = at.rooms.lane(room).await.expect("the room");
        let mut batch = Appending::new(&at.rooms, lane.room().expect("the room"));
        let rules = batch.hot.rules.clone();
        let mut draft = Draft::new(
            Some(room.to_owned()),
            event.sender.to_owned(),
            TimelineEventType::from(event.kind),
            raw(&event.content),
            MilliSecondsSinceUnixEpoch(UInt::new_saturating(START_MS + event.time)),
        );
        draft.state_key = event.state_key.map(ToOwned::to_owned);
        draft.redacts = event.redacts.cloned();
        let names = state_needed(
            &draft.kind,
            &draft.sender,
            draft.state_key.as_deref(),
            &draft.content,
            &rules,
        );
        let names = names.expect("well-formed");
        batch.look_up(&names).await.expect("reads");
        let auth = names.iter().filter_map(|(kind, key)| batch.state(kind, key));
        let auth_events = auth.map(|pdu| pdu.event_id().to_owned()).collect();
        let tips = &batch.head.tips;
        let parents = Parents {
            prev_events: match event.after {
                Some(after) => after.to_vec(),
                None => tips.iter().map(|tip| tip.event_id.clone()).collect(),
            },
            auth_events: event.auth.unwrap_or(auth_events),
            depth: order::depth_after(tips.iter().map(|tip| tip.depth)),
        };
        let key = self.data.signing_key();
        seal(&draft, &parents, self.name(), key.pair(), &rules).expect("an event")
    }

    /// Somebody of this server joins a room of another, as by `send_join`.
    pub(super) async fn join_by(&self, resident: &Server, user: &UserId, room: &RoomId) {
        let import = self.prepared_join(resident, user, room).await;
        self.rooms.import(import()).await.expect("taken over");
    }

    /// The resident has taken the join in; what it answered is still to be taken over.
    pub(super) async fn prepared_join(
        &self,
        resident: &Server,
        user: &UserId,
        room: &RoomId,
    ) -> impl Fn() -> Import + use<> {
        let content = json!({ "membership": "join" });
        let forged = Forged::state(user, "m.room.member", user.as_str(), content);
        let join = self.forge(resident, room, forged).await;
        let id = join.event_id().to_owned();
        resident.rooms.accept(self.name(), room, join.to_raw()).await.expect("may join");
        let told = resident.rooms.server_access(self.name(), room).await.expect("is in");
        let told = told.state_at(&id).await.expect("reads");
        let (room, version) = (room.to_owned(), resident.head(room).await.version);
        let origin = resident.name().to_owned();
        move || Import {
            room: room.clone(),
            version: version.clone(),
            origin: origin.clone(),
            state: told.state.clone(),
            auth_chain: told.auth_chain.clone(),
            event: join.to_raw(),
            partial: None,
        }
    }

    /// Send events to another server, which judges them.
    pub(super) async fn deliver(&self, to: &Server, pdus: Vec<Box<RawValue>>) -> crate::Staged {
        let staged = to.rooms.stage(self.name(), pdus).await.expect("staged");
        to.rooms.intake().await;
        staged
    }

    /// Send an event that is stored here.
    pub(super) async fn pass_on(&self, to: &Server, room: &RoomId, id: &OwnedEventId) {
        let pdu = self.pdu(room, id).await;
        self.deliver(to, vec![pdu]).await;
    }
}

/// An event to be made outside of the rules.
pub(super) struct Forged<'a> {
    pub sender: &'a UserId,
    pub kind: &'a str,
    pub state_key: Option<&'a str>,
    pub content: Value,
    pub redacts: Option<&'a OwnedEventId>,
    pub after: Option<&'a [OwnedEventId]>,
    pub auth: Option<Vec<OwnedEventId>>,
    pub time: u64,
}

impl<'a> Forged<'a> {
    pub(super) fn message(sender: &'a UserId, text: &str) -> Self {
        let content = json!({ "msgtype": "m.text", "body": text });
        let mut forged = Self::state(sender, "m.room.message", "", content);
        forged.state_key = None;
        forged
    }

    pub(super) fn state(
        sender: &'a UserId,
        kind: &'a str,
        state_key: &'a str,
        content: Value,
    ) -> Self {
        Self {
            sender,
            kind,
            state_key: Some(state_key),
            content,
            redacts: None,
            after: None,
            auth: None,
            time: 0,
        }
    }
}

pub(super) fn raw(content: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(content).expect("JSON")
}

pub(super) fn membership_of(event: &Event) -> Member {
    #[derive(serde::Deserialize)]
    struct Content {
        membership: ruma::events::room::member::MembershipState,
    }
    let content: Content = event.content_as().expect("a membership");
    Member::from_state(&content.membership)
}

/// Two servers in one room: Alice's, where it was made, and Bob's.
pub(super) struct Two {
    pub network: Network,
    pub a: Server,
    pub b: Server,
    pub alice: OwnedUserId,
    pub bob: OwnedUserId,
    pub room: OwnedRoomId,
}

impl Two {
    pub(super) async fn new(version: RoomVersionId) -> Self {
        let network = Network::default();
        let a = Server::new("a.example", &network).await;
        let b = Server::new("b.example", &network).await;
        let (alice, bob) = (a.user("alice"), b.user("bob"));
        let room = a.public_room(&alice, version).await;
        b.join_by(&a, &bob, &room).await;
        Self { network, a, b, alice, bob, room }
    }

    /// Print what both servers think of each event.
    pub(super) async fn explain(&self) {
        use blaupause_data::rows::EventRow;
        let mut all = BTreeMap::<OwnedEventId, Vec<String>>::new();
        for server in [&self.a, &self.b] {
            let part = server.data.parts().room(&self.room);
            let rows = server.data.list::<EventRow>(part, &(), u32::MAX).await.expect("reads");
            for (no, row) in rows.rows {
                let event = row.value;
                let state = server.data.state_all(part, event.state_after).await.expect("reads");
                let state: Vec<_> = state.iter().map(|(key, no)| (key.0, no.0)).collect();
                let pdu: Value = serde_json::from_str(&event.pdu).expect("JSON");
                let line = format!(
                    "{} no {} rejected {} soft {} placed {} prev {:?} auth {:?} {} {} {} {} {:?}",
                    server.name(),
                    no.0,
                    event.rejected,
                    event.soft_failed,
                    event.place.is_some(),
                    event.prev,
                    event.auth,
                    pdu["type"],
                    pdu["state_key"],
                    pdu["sender"],
                    pdu["content"],
                    state,
                );
                all.entry(event.event_id).or_default().push(line);
            }
            println!("{} tips {:?}", server.name(), server.head(&self.room).await.tips);
        }
        for (id, lines) in all {
            println!("{id}\n  {}", lines.join("\n  "));
        }
    }

    /// The name of a state key.
    pub(super) fn name(kind: &str, key: &str) -> (String, String) {
        (StateEventType::from(kind).to_string(), key.to_owned())
    }
}
