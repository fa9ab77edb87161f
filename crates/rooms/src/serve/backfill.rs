//! `GET /backfill`: what came before some events.

use std::{
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use blaupause_data::Event;
use blaupause_graph::EventNo;
use ruma::OwnedEventId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ServerAccess;
use crate::RoomsError;

/// Events of one answer.
const EVENTS_MAX: usize = 100;
/// Events that one request may start from; more are not looked at.
const STARTS_MAX: usize = 20;

impl ServerAccess {
    /// The given events and what came before them, newest first, `limit` at most (and 100).
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn backfill(
        &self,
        from: &[OwnedEventId],
        limit: u64,
    ) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let limit = usize::try_from(limit).unwrap_or(EVENTS_MAX).min(EVENTS_MAX);
        let starts = self.numbers(&from[..from.len().min(STARTS_MAX)]).await?;
        let mut seen: BTreeSet<EventNo> = starts.iter().copied().collect();
        let mut open = BinaryHeap::new();
        self.open(&starts, &mut open).await?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(Deepest(_, event)) = open.pop()
        {
            let prev: Vec<_> =
                event.stored.prev.iter().copied().filter(|no| seen.insert(*no)).collect();
            found.push(event);
            // One event's parents are nearly always one event: a round trip for each step, from
            // memory for what was read lately.
            self.open(&prev, &mut open).await?;
        }
        self.shown(found).await
    }

    /// Read events and put them among those to be told.
    async fn open(
        &self,
        numbers: &[EventNo],
        open: &mut BinaryHeap<Deepest>,
    ) -> Result<(), RoomsError> {
        let events = self.events(numbers).await?.into_iter();
        open.extend(events.filter(in_graph).map(Deepest::from));
        Ok(())
    }
}

/// Whether an event has its place among the others: it was not refused, and it is not only known
/// because others rest on it.
pub(super) fn in_graph(event: &Arc<Event>) -> bool {
    !event.stored.rejected && (event.place.is_some() || event.stored.soft_failed)
}

/// An event in the order of its depth.
pub(super) struct Deepest(u64, pub Arc<Event>);

impl From<Arc<Event>> for Deepest {
    fn from(event: Arc<Event>) -> Self {
        Self(depth_of(&event), event)
    }
}

impl Ord for Deepest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1.no).cmp(&(other.0, other.1.no))
    }
}

impl PartialOrd for Deepest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Deepest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Deepest {}

/// An event's depth; 0 if it says none.
pub(crate) fn depth_of(event: &Event) -> u64 {
    #[derive(Deserialize)]
    struct Depth {
        depth: u64,
    }
    serde_json::from_str::<Depth>(&event.stored.pdu).map_or(0, |event| event.depth)
}
