use std::collections::{BTreeMap, HashMap, HashSet};

use blaupause_graph::{
    EventNo, Pdu, StateRoot, authorize, authorize_by_auth_events,
    order::{extremities, topological},
};
use proptest::prelude::*;
use ruma::{OwnedEventId, RoomVersionId, events::StateEventType};
use serde_json::json;

use crate::{
    cases::cases,
    world::{Branch, Move, World, moves, versions},
};

/// Random rooms in the quick run.
const ROOMS: u32 = 150;

/// A server that takes events as they come and holds back those whose parents it lacks.
struct Receiver {
    world: World,
    /// State after each event.
    after: HashMap<OwnedEventId, Branch>,
    tips: Vec<OwnedEventId>,
    waiting: Vec<Pdu>,
}

impl Receiver {
    fn new(version: &RoomVersionId) -> Self {
        let mut world = World::new(version, 0).0;
        world.events.clear();
        world.auth.clear();
        world.numbers.clear();
        world.keys.clear();
        world.pages.clear();
        world.graph = blaupause_graph::AuthGraph::new();
        Self { world, after: HashMap::new(), tips: Vec::new(), waiting: Vec::new() }
    }

    fn deliver(&mut self, pdu: Pdu) {
        self.waiting.push(pdu);
        while let Some(at) = self.waiting.iter().position(|pdu| self.can_take(pdu)) {
            let pdu = self.waiting.swap_remove(at);
            self.take(pdu);
        }
    }

    fn can_take(&self, pdu: &Pdu) -> bool {
        pdu.prev_events().iter().chain(pdu.auth_events()).all(|id| self.after.contains_key(id))
    }

    fn take(&mut self, pdu: Pdu) {
        let id = pdu.event_id().to_owned();
        let mut branch = self.state_after_all(pdu.prev_events());
        let rejected = !self.is_allowed(&pdu, &branch);
        let auth = pdu.auth_events().iter().map(|id| self.world.numbers[id]).collect();
        let tips = extremities(&self.tips, pdu.prev_events(), id.clone());
        let no = self.world.add(pdu.with_rejected(rejected), auth);
        if !rejected {
            self.world.put(&mut branch, no);
        }
        self.tips = tips;
        self.after.insert(id, branch);
    }

    fn is_allowed(&self, pdu: &Pdu, before: &Branch) -> bool {
        let fetch = |id: &ruma::EventId| Some(self.world.pdu(*self.world.numbers.get(id)?).clone());
        let state: BTreeMap<_, _> = before
            .state
            .iter()
            .map(|(name, no)| (name.clone(), self.world.pdu(*no).clone()))
            .collect();
        authorize_by_auth_events(pdu, fetch, &self.world.rules).is_ok()
            && authorize(pdu, &state, &self.world.rules).is_ok()
    }

    fn state_after_all(&mut self, events: &[OwnedEventId]) -> Branch {
        let roots: Vec<StateRoot> = events.iter().map(|id| self.after[id].root).collect();
        let root = self.world.merge(&roots);
        Branch { state: self.world.read(root), root }
    }

    /// The room's present state, by event id.
    fn current(&mut self) -> BTreeMap<(StateEventType, String), OwnedEventId> {
        let tips = self.tips.clone();
        let state = self.state_after_all(&tips).state;
        let id = |no: EventNo| self.world.pdu(no).event_id().to_owned();
        state.into_iter().map(|(name, no)| (name, id(no))).collect()
    }
}

/// A room to which several servers add events at once; some of what they add is not allowed.
fn grow(version: &RoomVersionId, moves: &[Move]) -> (Receiver, Vec<Pdu>) {
    let (seed, _) = World::new(version, 4);
    let mut receiver = Receiver::new(version);
    let mut newest: Vec<OwnedEventId> = Vec::new();
    let mut events: Vec<Pdu> = Vec::new();
    // The start again, this time with parents.
    for pdu in &seed.events {
        let mut event: serde_json::Value = serde_json::from_str(pdu.json()).expect("JSON");
        event["prev_events"] = json!(newest);
        let id = pdu.event_id().to_owned();
        let pdu = Pdu::from_stored(event.to_string(), id.clone(), &seed.rules).expect("an event");
        newest = vec![id];
        events.push(pdu.clone());
        receiver.deliver(pdu);
    }
    let start = events.len() - 1;
    for (at, step) in (0_u64..).zip(moves) {
        let parents = parents(&events[start..], step);
        let before = receiver.state_after_all(&parents);
        let (kind, key, content) = step.event(&receiver.world, &before.state);
        let auth = receiver.world.auth_events(&before.state, step.user, kind, &key, &content);
        let time = 10 + at + u64::from(step.time);
        let pdu = receiver
            .world
            .event(
                1_000 + at,
                step.user,
                kind,
                &key,
                &content,
                time,
                &auth.expect("well-formed"),
                &parents,
            )
            .expect("an event");
        if step.act < 224 && !receiver.is_allowed(&pdu, &before) {
            continue;
        }
        events.push(pdu.clone());
        receiver.deliver(pdu);
    }
    (receiver, events)
}

/// One to three parents, mostly recent ones.
fn parents(events: &[Pdu], step: &Move) -> Vec<OwnedEventId> {
    let back = |steps: u8| {
        let at = events.len().saturating_sub(1 + usize::from(steps));
        events[at].event_id().to_owned()
    };
    let mut parents = vec![back(step.branch % 4)];
    if step.branch & 0x10 != 0 {
        parents.push(back(step.branch >> 5));
    }
    if step.branch & 0x0c == 0x0c {
        parents.push(back(step.time % 6));
    }
    parents.sort_unstable();
    parents.dedup();
    parents
}

proptest! {
    #![proptest_config(cases(ROOMS))]

    #[test]
    fn the_order_of_delivery_does_not_change_the_room(
        version in versions(),
        moves in moves(1..30),
        shuffle in prop::collection::vec(any::<u32>(), 40),
    ) {
        let (mut first, events) = grow(&version, &moves);
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|at| shuffle[*at % shuffle.len()]);
        let mut second = Receiver::new(&version);
        for at in order {
            second.deliver(events[at].clone());
        }
        prop_assert!(second.waiting.is_empty());
        let rejected = |receiver: &Receiver| -> HashSet<OwnedEventId> {
            let events = receiver.world.events.iter();
            events.filter(|pdu| pdu.rejected()).map(|pdu| pdu.event_id().to_owned()).collect()
        };
        prop_assert_eq!(rejected(&first), rejected(&second));
        let (mut tips, mut others) = (first.tips.clone(), second.tips.clone());
        tips.sort_unstable();
        others.sort_unstable();
        prop_assert_eq!(tips, others);
        prop_assert_eq!(first.current(), second.current());
    }

    #[test]
    fn topological_order_puts_parents_first_whatever_came_first(
        moves in moves(1..30),
        shuffle in prop::collection::vec(any::<u32>(), 40),
    ) {
        let events = grow(&RoomVersionId::V12, &moves).1;
        let sorted = topological(&events);
        prop_assert_eq!(sorted.len(), events.len());
        let mut seen = HashSet::new();
        for pdu in &sorted {
            prop_assert!(pdu.prev_events().iter().chain(pdu.auth_events()).all(|id| seen.contains(id)));
            seen.insert(pdu.event_id().to_owned());
        }
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|at| shuffle[*at % shuffle.len()]);
        let mut shuffled: Vec<Pdu> = order.into_iter().map(|at| events[at].clone()).collect();
        shuffled.push(events[0].clone());
        prop_assert_eq!(topological(&shuffled), sorted, "and each event comes once");
    }
}
