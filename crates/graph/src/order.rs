//! Order of events: topological order, forward extremities, depth.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use ruma::EventId;

use crate::Pdu;

/// Most parents an event may name (rooms/v1, event format).
pub const PREV_EVENTS_MAX: usize = 20;
/// Most auth events an event may name.
pub const AUTH_EVENTS_MAX: usize = 10;
/// Greatest depth: the greatest integer of canonical JSON. Depths stop there.
pub const DEPTH_MAX: u64 = (1 << 53) - 1;

/// Depth of an event whose parents have these depths; 1 for an event without parents.
pub fn depth_after(parents: impl IntoIterator<Item = u64>) -> u64 {
    parents.into_iter().max().unwrap_or(0).saturating_add(1).min(DEPTH_MAX)
}

/// The room's forward extremities after a new event: its parents are no longer the newest, it is.
/// Leave out soft-failed and rejected events, which never become extremities. Keeps the order of
/// the rest, so that the oldest comes first.
pub fn extremities<T: PartialEq + Clone>(old: &[T], prev_events: &[T], new: T) -> Vec<T> {
    let mut newest: Vec<T> =
        old.iter().filter(|tip| **tip != new && !prev_events.contains(tip)).cloned().collect();
    newest.push(new);
    newest
}

/// Sorts events so that each comes after those of its parents and auth events that are in the
/// list; among equals the smaller `(depth, origin_server_ts, event_id)` comes first, so that the
/// result does not depend on the order of delivery. An event that is twice in the list comes once.
///
/// Ids are hashes over the parents, so there are no cycles.
pub fn topological(events: &[Pdu]) -> Vec<Pdu> {
    let by_id: HashMap<&EventId, usize> =
        events.iter().enumerate().map(|(at, event)| (event.event_id(), at)).collect();
    let mut waits_for = vec![0_u32; events.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    for &at in by_id.values() {
        let event = &events[at];
        let mut before: Vec<usize> = event
            .prev_events()
            .iter()
            .chain(event.auth_events())
            .filter_map(|id| by_id.get(&**id).copied())
            .collect();
        before.sort_unstable();
        before.dedup();
        waits_for[at] = u32::try_from(before.len()).unwrap_or(u32::MAX);
        for earlier in before {
            followers[earlier].push(at);
        }
    }

    let rank = |at: usize| {
        let event = &events[at];
        Reverse((event.depth(), event.origin_server_ts(), event.event_id(), at))
    };
    let mut ready: BinaryHeap<_> =
        by_id.values().filter(|at| waits_for[**at] == 0).map(|at| rank(*at)).collect();
    let mut sorted = Vec::with_capacity(by_id.len());
    while let Some(Reverse((.., at))) = ready.pop() {
        sorted.push(events[at].clone());
        for &follower in &followers[at] {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                ready.push(rank(follower));
            }
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_starts_at_one_and_stops_at_the_limit() {
        assert_eq!(depth_after([]), 1);
        assert_eq!(depth_after([4, 9, 2]), 10);
        assert_eq!(depth_after([DEPTH_MAX]), DEPTH_MAX);
        assert_eq!(depth_after([u64::MAX]), DEPTH_MAX);
    }

    #[test]
    fn a_new_event_replaces_exactly_its_parents() {
        assert_eq!(extremities(&[1, 2, 3], &[1, 3], 4), [2, 4]);
        assert_eq!(extremities(&[], &[], 1), [1]);
        assert_eq!(extremities(&[1], &[0], 2), [1, 2]);
        assert_eq!(extremities(&[1, 2], &[1], 2), [2]);
    }
}
