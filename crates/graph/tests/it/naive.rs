//! The same answers, worked out in the plainest way: whole states, whole chains, sets of ids.

use std::collections::{BTreeSet, HashSet};

use blaupause_graph::EventNo;
use ruma::{
    OwnedEventId,
    state_res::{StateMap, resolve, utils::event_id_set::EventIdSet},
};

use crate::world::{State, World};

/// The given events and all that they rest on.
pub fn full_chain(world: &World, events: impl IntoIterator<Item = EventNo>) -> BTreeSet<EventNo> {
    let mut open: Vec<EventNo> = events.into_iter().collect();
    let mut chain = BTreeSet::new();
    while let Some(no) = open.pop() {
        if chain.insert(no) {
            open.extend(&world.auth[no.0 as usize]);
        }
    }
    chain
}

/// Events on paths between conflicted events, tried pair by pair.
pub fn subgraph(world: &World, conflicted: &BTreeSet<EventNo>) -> BTreeSet<EventNo> {
    let mut found = conflicted.clone();
    for newer in conflicted {
        let below_newer = full_chain(world, [*newer]);
        for older in conflicted.iter().filter(|older| below_newer.contains(older)) {
            found.extend(below_newer.iter().filter(|no| full_chain(world, [**no]).contains(older)));
        }
    }
    found
}

/// State resolution with everything handed over.
pub fn merge(world: &World, states: &[&State]) -> State {
    let id = |no: &EventNo| world.pdu(*no).event_id().to_owned();
    let maps: Vec<StateMap<OwnedEventId>> = states
        .iter()
        .map(|state| state.iter().map(|(name, no)| (name.clone(), id(no))).collect())
        .collect();
    let chains: Vec<EventIdSet<OwnedEventId>> = states
        .iter()
        .map(|state| full_chain(world, state.values().copied()).iter().map(id).collect())
        .collect();
    let resolved = resolve(
        &world.rules.authorization,
        world.rules.state_res.v2_rules().expect("v2"),
        &maps,
        chains,
        |id| world.numbers.get(id).map(|no| world.pdu(*no).clone()),
        |conflicted| {
            let conflicted: HashSet<&OwnedEventId> = conflicted.values().flatten().collect();
            let conflicted = conflicted.into_iter().map(|id| world.numbers[id]).collect();
            Some(subgraph(world, &conflicted).iter().map(id).collect())
        },
    );
    resolved
        .expect("it resolves")
        .into_iter()
        .map(|(name, id)| (name, world.numbers[&id]))
        .collect()
}
