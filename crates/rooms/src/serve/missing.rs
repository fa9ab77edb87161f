//! `POST /get_missing_events`: what lies between what a server has and what it was sent.

use std::{collections::BTreeSet, sync::Arc};

use blaupause_data::Event;
use blaupause_graph::EventNo;
use ruma::OwnedEventId;
use serde_json::value::RawValue;

use super::{
    ServerAccess,
    backfill::{depth_of, in_graph},
};
use crate::RoomsError;

/// Events of one answer.
const EVENTS_MAX: usize = 20;
/// Events named at either end; more are not looked at.
const ENDS_MAX: usize = 20;

/// Which events a server misses.
#[derive(Clone, Debug)]
pub struct Gap {
    /// What it has.
    pub earliest: Vec<OwnedEventId>,
    /// What it was sent.
    pub latest: Vec<OwnedEventId>,
    /// Cut to 20.
    pub limit: u64,
    pub min_depth: u64,
}

impl ServerAccess {
    /// The ancestors of the latest events up to the earliest ones, neither included; those nearest
    /// to the latest, in the order in which they happened.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn missing(&self, gap: &Gap) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let limit = usize::try_from(gap.limit).unwrap_or(EVENTS_MAX).min(EVENTS_MAX);
        let cut = |ids: &[OwnedEventId]| ids[..ids.len().min(ENDS_MAX)].to_vec();
        let latest = self.numbers(&cut(&gap.latest)).await?;
        let earliest = self.numbers(&cut(&gap.earliest)).await?;
        let mut seen: BTreeSet<EventNo> = latest.iter().chain(&earliest).copied().collect();
        let mut level = self.events(&latest).await?;
        let mut found: Vec<Arc<Event>> = Vec::new();
        while !level.is_empty() && found.len() < limit {
            let prev: Vec<_> = level
                .iter()
                .flat_map(|event| event.stored.prev.iter().copied())
                .filter(|no| seen.insert(*no))
                .collect();
            level = self.events(&prev).await?;
            level.retain(|event| in_graph(event) && depth_of(event) >= gap.min_depth);
            level.truncate(limit - found.len());
            found.extend(level.iter().cloned());
        }
        found.sort_by_key(|event| (depth_of(event), event.no));
        self.shown(found).await
    }
}
