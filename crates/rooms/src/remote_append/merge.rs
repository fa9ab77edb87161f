//! Several branches become one state.

use std::sync::Arc;

use blaupause_data::{
    DataError,
    rows::{AuthRow, EventNoRow, PageRow, StateKeyNoRow},
};
use blaupause_graph::{AuthGraph, Bag, EventNo, Need, PageNo, StateKeyNo, StateRoot, Step, merge};
use ruma::{OwnedEventId, events::StateEventType};

use crate::{RoomsError, append::Appending, hot::StateName, load::pdu_of, state_tree::with_rows};

/// Rounds of needs that a merge may have. Six are usual; a room with a long history of power
/// levels needs one more for each 256 of them.
const ROUNDS_MAX: usize = 64;
/// State events of one room that an auth graph holds.
const GRAPH_ROWS_MAX: u32 = 10_000_000;

impl Appending<'_> {
    /// The state that several states make up.
    pub(crate) async fn merged(&mut self, states: &[StateRoot]) -> Result<StateRoot, RoomsError> {
        let mut states = states.to_vec();
        states.sort_unstable();
        states.dedup();
        match states.as_slice() {
            [] => Ok(StateRoot::EMPTY),
            [one] => Ok(*one),
            _ => self.merge(states).await,
        }
    }

    async fn merge(&mut self, states: Vec<StateRoot>) -> Result<StateRoot, RoomsError> {
        // What was said just now, and is not durable yet, may be in one of the states.
        let room = self.head.room_id.clone();
        self.rooms.everything_durable(&room).await?;
        let mut bag = Bag::new();
        for (no, pdu) in &self.fresh {
            bag.add_event(*no, pdu.clone());
        }
        let env = self.rooms.data().env().clone();
        for _ in 0..ROUNDS_MAX {
            let (states, next, rules) =
                (states.clone(), self.head.next_page, self.hot.rules.clone());
            let (step, back) = env
                .cpu(move || {
                    let step = merge(&states, next, &bag, &rules);
                    (step, bag)
                })
                .await;
            bag = back;
            match step? {
                Step::Done(written) => return Ok(self.write_pages(written)),
                Step::Need(need) => self.supply(&mut bag, need).await?,
            }
        }
        Err(DataError::Damaged("state resolution never ends".into()).into())
    }

    /// Put what is lacking into the bag, in one round trip.
    async fn supply(&mut self, bag: &mut Bag, need: Need) -> Result<(), RoomsError> {
        let data = self.rooms.data();
        let keys: Vec<StateName> = need.key_numbers.into_iter().collect();
        let events: Vec<EventNo> = need.events.into_iter().collect();
        let pages: Vec<PageNo> = need.pages.into_iter().collect();
        let reads = async {
            tokio::join!(
                self.pages_of(&pages),
                self.pdus(&events),
                self.numbers_of(&keys),
                self.by_ids(need.event_ids.into_iter().collect()),
            )
        };
        let (found_pages, pdus, numbers, by_ids) = data.in_waves(Box::pin(reads)).await;
        for (no, page) in pages.iter().zip(found_pages?) {
            bag.add_page(*no, page.as_slice());
        }
        for (no, pdu) in events.into_iter().zip(pdus?) {
            bag.add_event(no, pdu);
        }
        for ((kind, state_key), number) in keys.into_iter().zip(numbers?) {
            bag.add_key(kind, state_key, number);
        }
        for (no, pdu) in by_ids? {
            bag.add_event(no, pdu);
        }
        if need.auth_graph {
            bag.set_auth_graph(self.auth_graph().await?);
        }
        Ok(())
    }

    async fn pages_of(&self, wanted: &[PageNo]) -> Result<Vec<Arc<Vec<u8>>>, RoomsError> {
        let part = self.part();
        let at_hand = |no: &PageNo| self.pages.0.get(no).or_else(|| self.hot.pages.0.get(no));
        let absent: Vec<_> = wanted.iter().filter(|no| at_hand(no).is_none()).collect();
        let keys = absent.into_iter().map(|no| (part, no));
        let mut rows = self.rooms.data().get_many::<PageRow>(keys).await?.into_iter();
        let lost = || DataError::Damaged("state/p: absent".into());
        wanted
            .iter()
            .map(|no| match at_hand(no) {
                Some(page) => Ok(Arc::clone(page)),
                None => Ok(Arc::new(rows.next().flatten().ok_or_else(lost)?.value)),
            })
            .collect()
    }

    async fn numbers_of(
        &self,
        names: &[(StateEventType, String)],
    ) -> Result<Vec<Option<StateKeyNo>>, RoomsError> {
        let (part, view) = (self.part(), self.view());
        let keys: Vec<_> =
            names.iter().map(|(kind, key)| (kind.to_string(), key.clone())).collect();
        let rows =
            self.rooms.data().get_many::<StateKeyNoRow>(keys.iter().map(|key| (part, key))).await?;
        Ok(names
            .iter()
            .zip(rows)
            .map(|(name, row)| {
                let stored = row.map(|row| row.value);
                stored.or_else(|| view.known(name).and_then(|known| known.number))
            })
            .collect())
    }

    async fn by_ids(
        &self,
        ids: Vec<OwnedEventId>,
    ) -> Result<Vec<(EventNo, blaupause_graph::Pdu)>, RoomsError> {
        let (part, data) = (self.part(), self.rooms.data());
        let hashes: Vec<_> = ids.iter().map(|id| data.parts().hash16(id.as_str())).collect();
        let rows = data.get_many::<EventNoRow>(hashes.iter().map(|hash| (part, hash))).await?;
        let numbers: Vec<_> = rows.into_iter().flatten().map(|row| (part, row.value)).collect();
        let events = data.events(&numbers).await?.into_iter().flatten();
        events.map(|event| Ok((event.no, pdu_of(&event, &self.hot.rules)?))).collect()
    }

    /// The room's auth graph, with this batch.
    async fn auth_graph(&mut self) -> Result<Arc<AuthGraph>, RoomsError> {
        let known = self.graph.take().or_else(|| self.hot.graph.take());
        let graph = match known {
            Some(graph) => graph,
            None => {
                let rows = self.rooms.data();
                let rows = rows.list_all::<AuthRow>(self.part(), &(), GRAPH_ROWS_MAX).await?;
                let rows = rows.rows.into_iter().map(|(no, row)| (no, row.value));
                Arc::new(AuthGraph::from_rows(rows)?)
            }
        };
        let broken = || DataError::Damaged("state/a: order".into());
        let graph = with_rows(graph, &self.auth_rows).ok_or_else(broken)?;
        self.graph = Some(Arc::clone(&graph));
        Ok(graph)
    }
}
