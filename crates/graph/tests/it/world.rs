//! A room in memory: events, numbers, pages, auth graph, and branches that random steps move on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use blaupause_graph::{
    AuthGraph, Bag, EventNo, Need, PageNo, Pdu, Refusal, StateKeyNo, StateRoot, Step, auth_types,
    authorize, merge, tree,
};
use proptest::prelude::*;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};
use serde_json::{Value, json};

pub type Name = (StateEventType, String);
pub type State = BTreeMap<Name, EventNo>;

/// Rounds of needs a merge may take.
const ROUNDS_MAX: u32 = 12;
pub const USERS: u8 = 6;

pub struct World {
    pub rules: RoomVersionRules,
    pub room_id: OwnedRoomId,
    pub events: Vec<Pdu>,
    pub auth: Vec<Vec<EventNo>>,
    pub numbers: HashMap<OwnedEventId, EventNo>,
    pub keys: HashMap<Name, StateKeyNo>,
    pub pages: HashMap<PageNo, Vec<u8>>,
    pub graph: AuthGraph,
    pub rounds: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Branch {
    pub state: State,
    pub root: StateRoot,
}

/// One random action; all numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub struct Move {
    pub branch: u8,
    pub user: u8,
    pub target: u8,
    pub act: u8,
    pub time: u8,
}

pub fn moves(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Move>> {
    let one = (any::<u8>(), 0..USERS, 0..USERS, any::<u8>(), 0..32_u8)
        .prop_map(|(branch, user, target, act, time)| Move { branch, user, target, act, time });
    prop::collection::vec(one, count)
}

pub fn versions() -> impl Strategy<Value = RoomVersionId> {
    prop_oneof![Just(RoomVersionId::V11), Just(RoomVersionId::V12)]
}

pub fn user(number: u8) -> OwnedUserId {
    let name = format!("@u{number}:s{}.example", number % 3);
    OwnedUserId::try_from(name).expect("a user id")
}

/// An id that looks like a hash and orders like one.
pub fn event_id(number: u64) -> OwnedEventId {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    OwnedEventId::try_from(format!("${mixed:016x}{number:027}")).expect("an event id")
}

impl World {
    /// A room of user 0 with public join rules in which the first users have joined.
    pub fn new(version: &RoomVersionId, joined: u8) -> (Self, Branch) {
        let rules = version.rules().expect("a known version");
        let room_id = if rules.authorization.room_create_event_id_as_room_id {
            RoomId::new_v2(event_id(0).as_str().trim_start_matches('$')).expect("a room id")
        } else {
            OwnedRoomId::try_from("!room:s0.example").expect("a room id")
        };
        let mut world = Self {
            rules,
            room_id,
            events: Vec::new(),
            auth: Vec::new(),
            numbers: HashMap::new(),
            keys: HashMap::new(),
            pages: HashMap::new(),
            graph: AuthGraph::new(),
            rounds: 0,
        };
        let mut branch = Branch::default();
        let levels = json!({
            "users": if world.rules.authorization.explicitly_privilege_room_creators {
                json!({ user(1): 50 })
            } else {
                json!({ user(0): 100, user(1): 50 })
            },
            "invite": 0, "state_default": 50,
        });
        let creator = user(0);
        let start = [
            (0, "m.room.create", "", json!({ "room_version": version })),
            (0, "m.room.member", creator.as_str(), json!({ "membership": "join" })),
            (0, "m.room.power_levels", "", levels),
            (0, "m.room.join_rules", "", json!({ "join_rule": "public" })),
        ];
        for (time, (sender, kind, key, content)) in (0_u64..).zip(start) {
            world.say(&mut branch, sender, kind, key, &content, time).expect("the room's start");
        }
        for number in 1..joined {
            let join = json!({ "membership": "join" });
            let key = user(number);
            world
                .say(&mut branch, number, "m.room.member", key.as_str(), &join, 4)
                .expect("public room");
        }
        (world, branch)
    }

    /// Makes a state event on a branch, if the rules allow it there.
    pub fn say(
        &mut self,
        branch: &mut Branch,
        sender: u8,
        kind: &str,
        state_key: &str,
        content: &Value,
        time: u64,
    ) -> Result<EventNo, Refusal> {
        let auth = self.auth_events(&branch.state, sender, kind, state_key, content)?;
        let no = EventNo(u32::try_from(self.events.len()).expect("a small room"));
        let prev: Vec<_> =
            self.events.last().map(|pdu| pdu.event_id().to_owned()).into_iter().collect();
        let pdu = self.event(no.0.into(), sender, kind, state_key, content, time, &auth, &prev)?;
        let state: BTreeMap<Name, Pdu> =
            branch.state.iter().map(|(name, no)| (name.clone(), self.pdu(*no).clone())).collect();
        authorize(&pdu, &state, &self.rules)?;
        self.add(pdu, auth);
        self.put(branch, no);
        Ok(no)
    }

    pub fn auth_events(
        &self,
        state: &State,
        sender: u8,
        kind: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<Vec<EventNo>, Refusal> {
        let content = serde_json::value::to_raw_value(content).expect("JSON");
        let kind = TimelineEventType::from(kind);
        let names = auth_types(&kind, &user(sender), Some(state_key), &content, &self.rules)?;
        let mut auth: Vec<EventNo> =
            names.iter().filter_map(|name| state.get(name).copied()).collect();
        auth.sort_unstable();
        Ok(auth)
    }

    #[expect(clippy::too_many_arguments, reason = "an event has many fields")]
    pub fn event(
        &self,
        id: u64,
        sender: u8,
        kind: &str,
        state_key: &str,
        content: &Value,
        time: u64,
        auth: &[EventNo],
        prev: &[OwnedEventId],
    ) -> Result<Pdu, Refusal> {
        let auth: Vec<_> = auth.iter().map(|no| self.pdu(*no).event_id().to_owned()).collect();
        let mut event = json!({
            "type": kind, "state_key": state_key, "sender": user(sender), "content": content,
            "origin_server_ts": time, "depth": 1, "prev_events": prev, "auth_events": auth,
        });
        let in_event = self.rules.event_format.require_room_create_room_id;
        if kind != "m.room.create" || in_event {
            event["room_id"] = json!(self.room_id);
        }
        Pdu::from_stored(event.to_string(), event_id(id), &self.rules)
    }

    /// Gives an event its number.
    pub fn add(&mut self, pdu: Pdu, auth: Vec<EventNo>) -> EventNo {
        let no = EventNo(u32::try_from(self.events.len()).expect("a small room"));
        self.numbers.insert(pdu.event_id().to_owned(), no);
        self.graph.push(no, &auth).expect("auth events come first");
        if let Some(name) = pdu.state_name() {
            let next = StateKeyNo(u32::try_from(self.keys.len()).expect("a small room"));
            self.keys.entry(name).or_insert(next);
        }
        self.events.push(pdu);
        self.auth.push(auth);
        no
    }

    /// Sets an event in the branch's state.
    pub fn put(&mut self, branch: &mut Branch, no: EventNo) {
        let name = self.pdu(no).state_name().expect("a state event");
        let key = self.keys[&name];
        branch.state.insert(name, no);
        let written = tree::set(branch.root, &[(key, Some(no))], self.next_page(), &self.pages)
            .expect("sound pages")
            .done()
            .expect("all pages are there");
        self.pages.extend(written.pages);
        branch.root = written.root;
    }

    /// The reduced merge, fed as a server would feed it.
    pub fn merge(&mut self, roots: &[StateRoot]) -> StateRoot {
        let mut bag = Bag::new();
        for _ in 0..ROUNDS_MAX {
            self.rounds += 1;
            let step = merge(roots, self.next_page(), &bag, &self.rules).expect("it resolves");
            match step {
                Step::Done(written) => {
                    self.pages.extend(written.pages);
                    return written.root;
                }
                Step::Need(need) => self.supply(&mut bag, &need),
            }
        }
        panic!("a merge needs more than {ROUNDS_MAX} rounds");
    }

    fn supply(&self, bag: &mut Bag, need: &Need) {
        assert!(!need.is_empty());
        for page in &need.pages {
            bag.add_page(*page, self.pages[page].clone());
        }
        for no in &need.events {
            bag.add_event(*no, self.pdu(*no).clone());
        }
        for id in &need.event_ids {
            let no = self.numbers[id];
            bag.add_event(no, self.pdu(no).clone());
        }
        for (kind, state_key) in &need.key_numbers {
            let no = self.keys.get(&(kind.clone(), state_key.clone())).copied();
            bag.add_key(kind.clone(), state_key.clone(), no);
        }
        if need.auth_graph {
            bag.set_auth_graph(Arc::new(self.graph.clone()));
        }
    }

    /// The whole state under a root, by name.
    pub fn read(&self, root: StateRoot) -> State {
        let names: HashMap<StateKeyNo, &Name> =
            self.keys.iter().map(|(name, no)| (*no, name)).collect();
        tree::entries(root, &self.pages)
            .expect("sound pages")
            .done()
            .expect("all pages are there")
            .into_iter()
            .map(|(key, no)| (names[&key].clone(), no))
            .collect()
    }

    pub fn pdu(&self, no: EventNo) -> &Pdu {
        &self.events[no.0 as usize]
    }

    pub fn next_page(&self) -> PageNo {
        PageNo(u32::try_from(self.pages.len()).expect("a small room"))
    }
}

impl Move {
    /// The state event this move makes: type, state key, content.
    pub fn event(&self, world: &World, state: &State) -> (&'static str, String, Value) {
        let member = |membership: &str| json!({ "membership": membership });
        let (own, other) = (user(self.user).to_string(), user(self.target).to_string());
        match self.act % 16 {
            0 | 1 => ("m.room.member", own, member("join")),
            2 => ("m.room.member", own, member("leave")),
            3 | 4 => ("m.room.member", other, member("ban")),
            5 | 6 => ("m.room.member", other, member("leave")),
            7 => ("m.room.member", other, member("invite")),
            8..=10 => ("m.room.power_levels", String::new(), self.levels(world, state)),
            11 => {
                let rule = ["public", "invite", "knock"][usize::from(self.time % 3)];
                ("m.room.join_rules", String::new(), json!({ "join_rule": rule }))
            }
            12 => ("m.room.topic", String::new(), json!({ "topic": format!("{}", self.time) })),
            13 => ("m.room.member", own, member("knock")),
            14 => ("org.example.note", own, json!({ "of": self.time })),
            _ => {
                let profile = format!("name {}", self.time);
                let content = json!({ "membership": "join", "displayname": profile });
                ("m.room.member", own, content)
            }
        }
    }

    /// The present power levels with another level of the target.
    fn levels(&self, world: &World, state: &State) -> Value {
        let name = (StateEventType::RoomPowerLevels, String::new());
        let mut levels: Value = state
            .get(&name)
            .and_then(|no| world.pdu(*no).content_as().ok())
            .unwrap_or_else(|| json!({}));
        let level = [0, 25, 50, 100][usize::from(self.time % 4)];
        levels["users"][user(self.target).as_str()] = json!(level);
        levels
    }
}
