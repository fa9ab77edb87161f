use std::collections::BTreeSet;

use super::{Name, Problem, done, graph_needed, state_name};
use crate::{EventNo, Need, Refusal, Step, tree};

/// Up to how many events it is cheaper to look each up in the state than to read the whole state.
const LOOK_UPS_MAX: usize = 1_000;

impl Problem<'_> {
    /// The auth difference of the *whole* states, less the conflicted events, without reading the
    /// whole states.
    ///
    /// Unconflicted events are in all states, so all they rest on is in all chains: they can only
    /// take events out of the difference. So it is first computed from the conflicted events
    /// alone, and then thinned out by those unconflicted events that rest on a candidate. Most
    /// candidates are unconflicted themselves: the membership of somebody who sent an event in one
    /// branch.
    pub(super) fn auth_difference(&self) -> Result<Step<Vec<EventNo>>, Refusal> {
        let conflicted: BTreeSet<EventNo> = self.conflicted_events().into_iter().collect();
        let mut marks: Vec<(EventNo, u64)> = Vec::new();
        for events in self.conflicts.values() {
            marks.extend((0_u32..).zip(events).filter_map(|(at, no)| Some(((*no)?, 1 << at))));
        }
        let mut candidates = done!(self.candidates(&marks, &conflicted));
        if candidates.is_empty() {
            return Ok(Step::Done(candidates));
        }

        let common = done!(self.common_to_all(&candidates)?);
        marks.extend(common.into_iter().map(|no| (no, self.all)));
        candidates = done!(self.candidates(&marks, &conflicted));
        if candidates.is_empty() {
            return Ok(Step::Done(candidates));
        }

        let Some(mut resting) = self.graph.with_descendants(&candidates) else {
            return Ok(graph_needed());
        };
        resting.retain(|no| !conflicted.contains(no));
        let common = if resting.len() <= LOOK_UPS_MAX {
            done!(self.common_to_all(&resting)?)
        } else {
            let entries = done!(tree::entries(self.states[0], self.bag)?);
            let common = entries.into_iter().filter(|(key, _)| !self.conflicts.contains_key(key));
            common.map(|(_, no)| no).collect()
        };
        marks.extend(common.into_iter().map(|no| (no, self.all)));
        Ok(self.candidates(&marks, &conflicted))
    }

    /// The difference from some marked events, less the conflicted ones.
    fn candidates(
        &self,
        marks: &[(EventNo, u64)],
        conflicted: &BTreeSet<EventNo>,
    ) -> Step<Vec<EventNo>> {
        match self.graph.difference_of_marks(marks, self.all) {
            Some(mut difference) => {
                difference.retain(|no| !conflicted.contains(no));
                Step::Done(difference)
            }
            None => graph_needed(),
        }
    }

    /// Those of the events that all states hold; none of them may be conflicted.
    fn common_to_all(&self, events: &[EventNo]) -> Result<Step<Vec<EventNo>>, Refusal> {
        let mut need = Need::default();
        need.events.extend(events.iter().filter(|no| self.bag.event(**no).is_none()));
        done!(need.or(()));
        let names: Vec<Name> =
            events.iter().map(|no| state_name(self.event(*no)?)).collect::<Result<_, Refusal>>()?;
        let held = done!(self.unconflicted(&names)?);
        let common = events.iter().zip(held).filter(|(no, held)| Some(**no) == *held);
        Ok(Step::Done(common.map(|(no, _)| *no).collect()))
    }
}
