//! `GET /event_auth`: what an event rests on.

use blaupause_data::rows::AuthRow;
use blaupause_graph::{AuthGraph, EventNo};
use ruma::OwnedEventId;
use serde_json::value::RawValue;

use super::{ServerAccess, as_pdu};
use crate::RoomsError;

/// State events of a room that are looked at for an auth chain; a room has had no more.
const STATE_EVENTS_MAX: u32 = 4_000_000;

impl ServerAccess {
    /// The full auth chain of an event, in an order in which each stands after those it rests on.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`].
    pub async fn event_auth(&self, id: &OwnedEventId) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let event = self.known_event(id).await?;
        let mut chain = self.auth_chain(&event.stored.auth).await?;
        chain.extend(&event.stored.auth);
        chain.sort();
        chain.dedup();
        self.events(&chain).await?.iter().map(|event| as_pdu(event)).collect()
    }

    /// What some state events rest on, themselves not included; ascending. One scan of the room's
    /// auth edges.
    pub(super) async fn auth_chain(&self, of: &[EventNo]) -> Result<Vec<EventNo>, RoomsError> {
        let data = self.rooms.data();
        let page = data.list_all::<AuthRow>(self.part, &(), STATE_EVENTS_MAX).await?;
        let rows = page.rows.into_iter().map(|(no, row)| (no, row.value));
        let graph = AuthGraph::from_rows(rows)?;
        let known: Vec<_> = of.iter().copied().filter(|no| graph.contains(*no)).collect();
        Ok(graph.auth_chain(&known).unwrap_or_default())
    }
}
