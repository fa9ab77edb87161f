use std::collections::BTreeSet;

use blaupause_graph::{AuthGraph, EventNo, Refusal};
use proptest::prelude::*;

use crate::cases::cases;

/// Random graphs in the quick run.
const GRAPHS: u32 = 500;

/// For each event up to four older ones; numbers have gaps, as messages have numbers, too.
fn graphs() -> impl Strategy<Value = Vec<Vec<EventNo>>> {
    prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..5), 1..60)
        .prop_map(|rows| {
            let older = |at: usize, pick: prop::sample::Index| number(pick.index(at));
            rows.into_iter()
                .enumerate()
                .map(|(at, picks)| match at {
                    0 => Vec::new(),
                    _ => picks.into_iter().map(|pick| older(at, pick)).collect(),
                })
                .collect()
        })
}

fn number(rank: usize) -> EventNo {
    EventNo(u32::try_from(rank * 3 + 1).expect("small"))
}

fn rank(no: EventNo) -> usize {
    (no.0 as usize - 1) / 3
}

fn build(rows: &[Vec<EventNo>]) -> AuthGraph {
    let rows = rows.iter().enumerate().map(|(at, edges)| (number(at), edges.clone()));
    AuthGraph::from_rows(rows).expect("in order")
}

/// The event and all it rests on.
fn chain(rows: &[Vec<EventNo>], no: EventNo) -> BTreeSet<EventNo> {
    let mut open = vec![no];
    let mut found = BTreeSet::new();
    while let Some(no) = open.pop() {
        if found.insert(no) {
            open.extend(&rows[rank(no)]);
        }
    }
    found
}

fn pick(rows: &[Vec<EventNo>], picks: &[prop::sample::Index]) -> Vec<EventNo> {
    picks.iter().map(|pick| number(pick.index(rows.len()))).collect()
}

type Picks = Vec<prop::sample::Index>;

fn picks(most: usize) -> impl Strategy<Value = Picks> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..most)
}

proptest! {
    #![proptest_config(cases(GRAPHS))]

    #[test]
    fn the_auth_difference_is_union_less_intersection(
        rows in graphs(), states in prop::collection::vec(picks(8), 1..5),
    ) {
        let states: Vec<_> = states.iter().map(|state| pick(&rows, state)).collect();
        let chains: Vec<BTreeSet<_>> = states
            .iter()
            .map(|state| state.iter().flat_map(|no| chain(&rows, *no)).collect())
            .collect();
        let expected: Vec<EventNo> = (0..rows.len())
            .map(number)
            .filter(|no| {
                let in_chains = chains.iter().filter(|chain| chain.contains(no)).count();
                in_chains > 0 && in_chains < chains.len()
            })
            .collect();
        prop_assert_eq!(build(&rows).auth_difference(&states), Some(expected));
    }

    #[test]
    fn the_conflicted_subgraph_is_what_lies_between(rows in graphs(), conflicted in picks(8)) {
        let conflicted = pick(&rows, &conflicted);
        let expected: Vec<EventNo> = (0..rows.len())
            .map(number)
            .filter(|no| {
                let above = conflicted.iter().any(|newer| chain(&rows, *newer).contains(no));
                let below = chain(&rows, *no);
                above && conflicted.iter().any(|older| below.contains(older))
            })
            .collect();
        prop_assert_eq!(build(&rows).conflicted_subgraph(&conflicted), Some(expected));
    }

    #[test]
    fn the_auth_chain_is_all_an_event_rests_on(rows in graphs(), of in picks(4)) {
        let of = pick(&rows, &of);
        let expected: BTreeSet<EventNo> = of
            .iter()
            .flat_map(|no| &rows[rank(*no)])
            .flat_map(|auth| chain(&rows, *auth))
            .collect();
        let found = build(&rows).auth_chain(&of).map(BTreeSet::from_iter);
        prop_assert_eq!(found, Some(expected));
    }
}

#[test]
fn auth_events_come_before_what_rests_on_them() {
    let mut graph = AuthGraph::new();
    graph.push(EventNo(1), &[]).expect("first");
    assert!(matches!(graph.push(EventNo(2), &[EventNo(5)]), Err(Refusal::Corrupt(_))));
    assert!(matches!(graph.push(EventNo(0), &[]), Err(Refusal::Corrupt(_))));
    graph.push(EventNo(4), &[EventNo(1)]).expect("next");
    graph.push(EventNo(4), &[EventNo(1)]).expect("again is no harm");
    assert_eq!(graph.len(), 2);
    let edges: Vec<_> = graph.auth_events(EventNo(4)).expect("known").collect();
    assert_eq!(edges, [EventNo(1)]);
    assert_eq!(graph.auth_chain(&[EventNo(3)]), None, "an unknown event");
}
