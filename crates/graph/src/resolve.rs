//! Merging the states of several branches of a room: state resolution.
//!
//! The algorithm itself is ruma's, unchanged. Ours is the feeding: given whole states and whole
//! auth chains it needs seconds in a room of 100,000 members, although it looks at almost nothing
//! of them. It uses the states only to tell conflicted from unconflicted keys and to look up the
//! keys that authorize the events in question, and the chains only for their difference. So it is
//! given exactly that (storage.md, section 3.5), and the result is applied to the state tree.
//!
//! `resolve` silently skips events it cannot get, which would be a wrong result and no error.
//! Therefore everything is collected beforehand, absent things end in [`Step::Need`], and its own
//! requests are watched once more.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::{RoomVersionRules, StateResolutionV2Rules},
    state_res::{StateMap, utils::event_id_set::EventIdSet},
};

use crate::{
    AuthGraph, EventNo, Need, PageNo, Pdu, Refusal, StateKeyNo, StateRoot, Step,
    auth::{STATES_MAX, all_bits},
    authorize::state_needed,
    tree::{self, Written},
};

mod bag;
mod difference;

pub use bag::Bag;

/// Type and state key.
type Name = (StateEventType, String);

/// How many of an unknown power levels event's newest ancestors to ask for together with it. The
/// power levels of a room form a chain that has to be walked to its start; one read a link would
/// be too slow.
const ANCESTORS_AT_ONCE: usize = 256;

/// Merges states. The result does not depend on their order, and is one of them where possible.
///
/// New pages are numbered from `next`. Expect about six rounds of [`Step::Need`] with an empty bag,
/// none if the bag holds what earlier calls asked for. With everything at hand it takes 4–9 ms for
/// 200 conflicted keys in a room of 100,000 members (`tests/it/large.rs`): long enough for a
/// blocking pool.
///
/// # Errors
/// [`Refusal::Unresolvable`] for room versions without state resolution v2, for more than
/// [`STATES_MAX`] states, and if an event in conflict is malformed; [`Refusal::Corrupt`] if pages,
/// graph and events contradict each other.
pub fn merge(
    states: &[StateRoot],
    next: PageNo,
    bag: &Bag,
    rules: &RoomVersionRules,
) -> Result<Step<Written>, Refusal> {
    let states: Vec<StateRoot> = BTreeSet::from_iter(states.iter().copied()).into_iter().collect();
    if states.len() < 2 {
        let root = states.first().copied().unwrap_or_default();
        return Ok(Step::Done(Written { root, pages: Vec::new() }));
    }
    let all = all_bits(states.len())
        .ok_or_else(|| Refusal::Unresolvable(format!("more than {STATES_MAX} states")))?;
    let algorithm = rules.state_res.v2_rules().ok_or_else(|| {
        Refusal::Unresolvable("the room version has another state resolution".to_owned())
    })?;

    let conflicts = match conflicts(&states, bag)? {
        Step::Done(conflicts) => conflicts,
        Step::Need(mut need) => {
            // States that differ nearly always conflict: ask for the graph in the same round.
            need.auth_graph = bag.auth_graph().is_none();
            return Ok(Step::Need(need));
        }
    };
    if conflicts.is_empty() {
        return Ok(Step::Done(Written { root: states[0], pages: Vec::new() }));
    }
    let Some(graph) = bag.auth_graph() else { return Ok(graph_needed()) };
    let mut problem = Problem { states, all, conflicts, graph, bag, rules, algorithm };
    problem.solve(next)
}

fn graph_needed<T>() -> Step<T> {
    Step::Need(Need { auth_graph: true, ..Need::default() })
}

/// For each conflicted key its event in each state.
type Conflicts = BTreeMap<StateKeyNo, Vec<Option<EventNo>>>;

fn conflicts(states: &[StateRoot], bag: &Bag) -> Result<Step<Conflicts>, Refusal> {
    let mut need = Need::default();
    let mut conflicts = Conflicts::new();
    for (at, state) in states.iter().enumerate().skip(1) {
        match tree::diff(states[0], *state, bag)? {
            Step::Need(more) => need.extend(more),
            Step::Done(changes) => {
                for changed in changes {
                    let events = conflicts
                        .entry(changed.key)
                        .or_insert_with(|| vec![changed.before; states.len()]);
                    events[at] = changed.after;
                }
            }
        }
    }
    Ok(need.or(conflicts))
}

/// A merge with at least one conflict.
struct Problem<'a> {
    states: Vec<StateRoot>,
    /// One bit for each state.
    all: u64,
    conflicts: Conflicts,
    graph: &'a AuthGraph,
    bag: &'a Bag,
    rules: &'a RoomVersionRules,
    algorithm: &'a StateResolutionV2Rules,
}

/// What is given to `resolve`.
struct Reduced {
    maps: Vec<StateMap<OwnedEventId>>,
    difference: EventIdSet<OwnedEventId>,
    subgraph: EventIdSet<OwnedEventId>,
    /// Names of the conflicted keys.
    names: HashMap<Name, StateKeyNo>,
}

/// Returns early with what is lacking.
macro_rules! done {
    ($step:expr) => {
        match $step {
            Step::Done(value) => value,
            Step::Need(need) => return Ok(Step::Need(need)),
        }
    };
}
use done;

impl Problem<'_> {
    fn solve(&mut self, next: PageNo) -> Result<Step<Written>, Refusal> {
        let difference = done!(self.auth_difference()?);
        let conflicted = self.conflicted_events();
        let subgraph = if self.algorithm.consider_conflicted_state_subgraph {
            match self.graph.conflicted_subgraph(&conflicted) {
                Some(subgraph) => subgraph,
                None => return Ok(graph_needed()),
            }
        } else {
            Vec::new()
        };
        let full: BTreeSet<EventNo> =
            conflicted.iter().chain(&difference).chain(&subgraph).copied().collect();
        done!(self.events_and_their_auth_events(&full)?);
        let reduced = done!(self.reduce(&full, &difference, &subgraph)?);
        done!(self.power_levels_back_to_the_start(&full, &reduced)?);
        let resolved = done!(self.resolve(&reduced)?);
        let changes = done!(self.changes(&reduced, &resolved)?);
        self.apply(&changes, next)
    }

    /// All events of the conflicted keys, ascending, each once.
    fn conflicted_events(&self) -> Vec<EventNo> {
        let events: BTreeSet<EventNo> =
            self.conflicts.values().flatten().flatten().copied().collect();
        events.into_iter().collect()
    }

    /// Makes sure that the full conflicted set and its auth events are at hand.
    fn events_and_their_auth_events(&self, full: &BTreeSet<EventNo>) -> Result<Step<()>, Refusal> {
        let mut need = Need::default();
        for no in full {
            let Some(auth_events) = self.graph.auth_events(*no) else { return Ok(graph_needed()) };
            let wanted = auth_events.chain([*no]).filter(|no| self.bag.event(*no).is_none());
            need.events.extend(wanted);
        }
        Ok(need.or(()))
    }

    /// Builds the maps with the conflicted keys and the keys that authorize the events in
    /// question, everything else left out.
    fn reduce(
        &self,
        full: &BTreeSet<EventNo>,
        difference: &[EventNo],
        subgraph: &[EventNo],
    ) -> Result<Step<Reduced>, Refusal> {
        let mut maps = vec![StateMap::new(); self.states.len()];
        let mut names = HashMap::new();
        for (key, events) in &self.conflicts {
            for (map, no) in maps.iter_mut().zip(events) {
                let Some(no) = no else { continue };
                let pdu = self.event(*no)?;
                let name = state_name(pdu)?;
                map.insert(name.clone(), pdu.event_id().to_owned());
                names.insert(name, *key);
            }
        }

        let mut authorizing = BTreeSet::from([
            (StateEventType::RoomCreate, String::new()),
            (StateEventType::RoomPowerLevels, String::new()),
            (StateEventType::RoomJoinRules, String::new()),
        ]);
        for no in full {
            let pdu = self.event(*no)?;
            // A malformed member event authorizes nothing; `resolve` skips it in the same way.
            if let Ok(needed) =
                state_needed(pdu.kind(), pdu.sender(), pdu.state_key(), pdu.content(), self.rules)
            {
                authorizing.extend(needed);
            }
        }
        authorizing.retain(|name| !names.contains_key(name));
        let authorizing: Vec<Name> = authorizing.into_iter().collect();

        let values = done!(self.unconflicted(&authorizing)?);
        let mut need = Need::default();
        for (name, no) in authorizing.iter().zip(values) {
            let Some(no) = no else { continue };
            match self.bag.event(no) {
                None => {
                    need.events.insert(no);
                }
                Some(pdu) => {
                    for map in &mut maps {
                        map.insert(name.clone(), pdu.event_id().to_owned());
                    }
                }
            }
        }
        let (difference, subgraph) = (self.ids(difference)?, self.ids(subgraph)?);
        Ok(need.or(Reduced { maps, difference, subgraph, names }))
    }

    /// The events of keys that have the same event in all states.
    fn unconflicted(&self, names: &[Name]) -> Result<Step<Vec<Option<EventNo>>>, Refusal> {
        let mut need = Need::default();
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            match self.bag.key(name) {
                Some(key) => keys.push(key),
                None => {
                    need.key_numbers.insert(name.clone());
                }
            }
        }
        done!(need.or(()));
        let known: Vec<StateKeyNo> = keys.iter().flatten().copied().collect();
        let found = tree::get_many(self.states[0], &known, self.bag)?;
        Ok(found.map(|found| {
            let mut found = found.into_iter();
            keys.into_iter().map(|key| key.and_then(|_| found.next().flatten())).collect()
        }))
    }

    /// Ordering by power levels follows them from one to the previous, so all of them that the
    /// events in question rest on have to be at hand, and so have their auth events.
    fn power_levels_back_to_the_start(
        &self,
        full: &BTreeSet<EventNo>,
        reduced: &Reduced,
    ) -> Result<Step<()>, Refusal> {
        let in_maps = reduced.maps.iter().flat_map(HashMap::values);
        let mut open: Vec<EventNo> = in_maps.filter_map(|id| self.bag.number(id)).collect();
        for no in full {
            open.push(*no);
            open.extend(self.graph.auth_events(*no).into_iter().flatten());
        }
        let mut need = Need::default();
        let mut seen = BTreeSet::new();
        while let Some(no) = open.pop() {
            let levels = self
                .bag
                .event(no)
                .is_some_and(|pdu| *pdu.kind() == TimelineEventType::RoomPowerLevels);
            if !levels || !seen.insert(no) {
                continue;
            }
            let Some(auth_events) = self.graph.auth_events(no) else { return Ok(graph_needed()) };
            for auth_event in auth_events {
                if self.bag.event(auth_event).is_some() {
                    open.push(auth_event);
                    continue;
                }
                need.events.insert(auth_event);
                let chain = self.graph.auth_chain(&[auth_event]).unwrap_or_default();
                let newest = chain.into_iter().rev().take(ANCESTORS_AT_ONCE);
                need.events.extend(newest.filter(|no| self.bag.event(*no).is_none()));
            }
        }
        Ok(need.or(()))
    }

    fn resolve(&self, reduced: &Reduced) -> Result<Step<StateMap<OwnedEventId>>, Refusal> {
        let absent = RefCell::new(BTreeSet::<OwnedEventId>::new());
        let fetch = |id: &EventId| -> Option<Pdu> {
            let found = self.bag.event_by_id(id).cloned();
            if found.is_none() {
                absent.borrow_mut().insert(id.to_owned());
            }
            found
        };
        // Only the difference of the chains counts: events in the first "chain" and no other.
        let mut chains = vec![EventIdSet::new(); self.states.len()];
        chains[0] = reduced.difference.clone();
        let resolved = ruma::state_res::resolve(
            &self.rules.authorization,
            self.algorithm,
            &reduced.maps,
            chains,
            fetch,
            |_| Some(reduced.subgraph.clone()),
        );
        let event_ids = absent.into_inner();
        if !event_ids.is_empty() {
            return Ok(Step::Need(Need { event_ids, ..Need::default() }));
        }
        resolved.map(Step::Done).map_err(|error| Refusal::Unresolvable(error.to_string()))
    }

    /// The result for all conflicted keys, and for keys that no state has but an event of the auth
    /// difference brings back.
    fn changes(
        &self,
        reduced: &Reduced,
        resolved: &StateMap<OwnedEventId>,
    ) -> Result<Step<Changes>, Refusal> {
        let mut changes: Changes = self.conflicts.keys().map(|key| (*key, None)).collect();
        let mut others: BTreeMap<Name, EventNo> = BTreeMap::new();
        for (name, id) in resolved {
            let no = self.bag.number(id).ok_or_else(|| Refusal::corrupt("unknown result"))?;
            match reduced.names.get(name) {
                Some(key) => {
                    changes.insert(*key, Some(no));
                }
                None => {
                    others.insert(name.clone(), no);
                }
            }
        }
        let names: Vec<Name> = others.keys().cloned().collect();
        let held = done!(self.unconflicted(&names)?);
        for ((name, no), held) in others.iter().zip(held) {
            if held.is_some() {
                continue;
            }
            match self.bag.key(name).flatten() {
                Some(key) => changes.insert(key, Some(*no)),
                None => return Err(Refusal::corrupt("a state event without a state key number")),
            };
        }
        Ok(Step::Done(changes))
    }

    /// Writes the result as a change of the state that is nearest to it.
    fn apply(&self, changes: &Changes, next: PageNo) -> Result<Step<Written>, Refusal> {
        let distance = |at: usize| {
            let held = |key| self.conflicts.get(key).and_then(|events| events[at]);
            changes.iter().filter(|(key, no)| held(key) != **no).count()
        };
        let nearest = (0..self.states.len()).min_by_key(|at| distance(*at)).unwrap_or_default();
        let changes: Vec<_> = changes.iter().map(|(key, no)| (*key, *no)).collect();
        tree::set(self.states[nearest], &changes, next, self.bag)
    }

    fn event(&self, no: EventNo) -> Result<&Pdu, Refusal> {
        self.bag.event(no).ok_or_else(|| Refusal::corrupt(format!("{no:?} was there before")))
    }

    fn ids(&self, nos: &[EventNo]) -> Result<EventIdSet<OwnedEventId>, Refusal> {
        nos.iter().map(|no| Ok(self.event(*no)?.event_id().to_owned())).collect()
    }
}

type Changes = BTreeMap<StateKeyNo, Option<EventNo>>;

fn state_name(pdu: &Pdu) -> Result<Name, Refusal> {
    pdu.state_name().ok_or_else(|| Refusal::corrupt("the state holds an event without state key"))
}
