//! The auth graph of a room, resident as arrays: which state event names which auth events.
//!
//! Since an event gets its number after its auth events, ascending numbers are a topological order
//! and every question is one or two passes over arrays, with no recursion and no per-event reads.
//! 300,000 state events take about 7 MB. Only rooms that fork ever need it.

use crate::{EventNo, Refusal};

/// Most states that can be compared at once: one bit each.
pub const STATES_MAX: usize = 64;

/// Edges from state events to their auth events.
#[derive(Clone, Debug, Default)]
pub struct AuthGraph {
    /// Event numbers, ascending. The index into it is an event's rank.
    nos: Vec<u32>,
    /// `edges[ends[rank - 1]..ends[rank]]` are the edges of a rank.
    ends: Vec<u32>,
    /// Ranks of auth events.
    edges: Vec<u32>,
}

impl AuthGraph {
    /// A graph without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event; numbers must ascend and auth events must be there before. Adding the event
    /// that is already the newest again has no effect.
    ///
    /// # Errors
    /// [`Refusal::Corrupt`] if the order is broken or an auth event is unknown.
    pub fn push(&mut self, no: EventNo, auth_events: &[EventNo]) -> Result<(), Refusal> {
        match self.newest() {
            Some(newest) if newest == no => return Ok(()),
            Some(newest) if newest > no => {
                return Err(Refusal::corrupt(format!("{no:?} follows {newest:?}")));
            }
            _ => {}
        }
        let known = self.edges.len();
        for auth_event in auth_events {
            let Some(rank) = self.rank(*auth_event) else {
                self.edges.truncate(known);
                return Err(Refusal::corrupt(format!("{no:?} names unknown {auth_event:?}")));
            };
            self.edges.push(index(rank));
        }
        self.nos.push(no.0);
        self.ends.push(index(self.edges.len()));
        Ok(())
    }

    /// Builds the graph from its rows, ascending by number.
    ///
    /// # Errors
    /// As [`AuthGraph::push`].
    pub fn from_rows<A: AsRef<[EventNo]>>(
        rows: impl IntoIterator<Item = (EventNo, A)>,
    ) -> Result<Self, Refusal> {
        let mut graph = Self::new();
        for (no, auth_events) in rows {
            graph.push(no, auth_events.as_ref())?;
        }
        Ok(graph)
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.nos.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.nos.is_empty()
    }

    /// The event added last.
    pub fn newest(&self) -> Option<EventNo> {
        self.nos.last().copied().map(EventNo)
    }

    /// Whether the event is in the graph.
    pub fn contains(&self, no: EventNo) -> bool {
        self.rank(no).is_some()
    }

    /// The auth events of an event; `None` if it is not in the graph.
    pub fn auth_events(&self, no: EventNo) -> Option<impl Iterator<Item = EventNo>> {
        Some(self.edges_of(self.rank(no)?).iter().map(|rank| self.no(*rank)))
    }

    /// All events that the given ones rest on, ascending, without the given ones unless they rest
    /// on each other. `None` if one of them is not in the graph.
    pub fn auth_chain(&self, of: &[EventNo]) -> Option<Vec<EventNo>> {
        let start = self.ranks(of)?;
        let mut in_chain = vec![false; start.last().map_or(0, |last| last + 1)];
        for rank in start {
            self.edges_of(rank).iter().for_each(|auth| in_chain[*auth as usize] = true);
        }
        for rank in (0..in_chain.len()).rev() {
            if in_chain[rank] {
                self.edges_of(rank).iter().for_each(|auth| in_chain[*auth as usize] = true);
            }
        }
        Some(self.collect(&in_chain))
    }

    /// The auth difference of several states, ascending: the events that are in the full auth
    /// chain of at least one state, but not of all. A state's full auth chain holds its own events
    /// and all they rest on. At most [`STATES_MAX`] states; `None` if there are more or an event
    /// is not in the graph.
    ///
    /// The specification's wording leaves open whether the state's own events are part of the
    /// chain; taking them in is what Synapse does, and servers must agree. It makes no difference
    /// for conflicted events, which are resolved anyway.
    pub fn auth_difference(&self, states: &[Vec<EventNo>]) -> Option<Vec<EventNo>> {
        let all = all_bits(states.len())?;
        let mut marks = Vec::new();
        for (state, bit) in states.iter().zip(0_u32..) {
            marks.extend(state.iter().map(|no| (*no, 1_u64 << bit)));
        }
        self.difference_of_marks(&marks, all)
    }

    /// As [`AuthGraph::auth_difference`], from `(event, set of states as bits)`.
    pub(crate) fn difference_of_marks(
        &self,
        marks: &[(EventNo, u64)],
        all: u64,
    ) -> Option<Vec<EventNo>> {
        let mut masks: Vec<u64> = vec![0; self.nos.len()];
        let is_partial = |mask: u64| mask != 0 && mask != all;
        let mut end = 0;
        for (no, bits) in marks {
            let rank = self.rank(*no)?;
            masks[rank] |= bits;
            end = end.max(rank + 1);
        }
        // Where nothing partial lies ahead, nothing partial can come into being.
        let mut partial_ahead = masks[..end].iter().filter(|mask| is_partial(**mask)).count();
        let mut difference = Vec::new();
        for rank in (0..end).rev() {
            if partial_ahead == 0 {
                break;
            }
            let mask = masks[rank];
            if mask == 0 {
                continue;
            }
            if is_partial(mask) {
                partial_ahead -= 1;
                difference.push(self.no(index(rank)));
            }
            for auth in self.edges_of(rank) {
                let old = masks[*auth as usize];
                let new = old | mask;
                masks[*auth as usize] = new;
                match (is_partial(old), is_partial(new)) {
                    (false, true) => partial_ahead += 1,
                    (true, false) => partial_ahead -= 1,
                    _ => {}
                }
            }
        }
        difference.reverse();
        Some(difference)
    }

    /// The conflicted state subgraph (rooms/v12, state resolution), ascending: the events on any
    /// path along auth events from one conflicted event to another, ends included. `None` if an
    /// event is not in the graph.
    pub fn conflicted_subgraph(&self, conflicted: &[EventNo]) -> Option<Vec<EventNo>> {
        let ranks = self.ranks(conflicted)?;
        let (Some(first), Some(last)) = (ranks.first().copied(), ranks.last().copied()) else {
            return Some(Vec::new());
        };
        // Paths lie between the oldest and the newest conflicted event.
        let mut above = vec![false; last + 1];
        let mut below = vec![false; last + 1];
        for rank in ranks {
            above[rank] = true;
            below[rank] = true;
        }
        for rank in (first..=last).rev() {
            if above[rank] {
                self.edges_of(rank).iter().for_each(|auth| above[*auth as usize] = true);
            }
        }
        for rank in first..=last {
            below[rank] |= self.edges_of(rank).iter().any(|auth| below[*auth as usize]);
        }
        let on_path: Vec<bool> =
            (0..=last).map(|rank| rank >= first && above[rank] && below[rank]).collect();
        Some(self.collect(&on_path))
    }

    /// The given events and all that rest on them, ascending. `None` if one is not in the graph.
    pub(crate) fn with_descendants(&self, of: &[EventNo]) -> Option<Vec<EventNo>> {
        let ranks = self.ranks(of)?;
        let Some(first) = ranks.first().copied() else { return Some(Vec::new()) };
        let mut below = vec![false; self.nos.len()];
        for rank in ranks {
            below[rank] = true;
        }
        for rank in first..self.nos.len() {
            below[rank] |= self.edges_of(rank).iter().any(|auth| below[*auth as usize]);
        }
        Some(self.collect(&below))
    }

    fn rank(&self, no: EventNo) -> Option<usize> {
        self.nos.binary_search(&no.0).ok()
    }

    /// Ascending ranks of events.
    fn ranks(&self, nos: &[EventNo]) -> Option<Vec<usize>> {
        let mut ranks: Vec<usize> = nos.iter().map(|no| self.rank(*no)).collect::<Option<_>>()?;
        ranks.sort_unstable();
        Some(ranks)
    }

    fn no(&self, rank: u32) -> EventNo {
        EventNo(self.nos[rank as usize])
    }

    fn edges_of(&self, rank: usize) -> &[u32] {
        let start = if rank == 0 { 0 } else { self.ends[rank - 1] };
        &self.edges[start as usize..self.ends[rank] as usize]
    }

    fn collect(&self, chosen: &[bool]) -> Vec<EventNo> {
        (0..).zip(chosen).filter(|(_, chosen)| **chosen).map(|(rank, _)| self.no(rank)).collect()
    }
}

/// A bit for each of so many states.
pub(crate) fn all_bits(states: usize) -> Option<u64> {
    match states {
        0 => Some(0),
        1..=STATES_MAX => Some(u64::MAX >> (STATES_MAX - states)),
        _ => None,
    }
}

/// Ranks and edges are counted in `u32`, as event numbers are.
fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a room has fewer than 2^32 auth edges")
}
