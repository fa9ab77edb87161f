//! `GET /state` and `GET /state_ids`: the room's state before an event, and what it rests on.

use std::sync::Arc;

use blaupause_data::Event;
use blaupause_graph::EventNo;
use ruma::OwnedEventId;
use serde_json::value::RawValue;

use super::{ServerAccess, as_pdu};
use crate::RoomsError;

/// Events of one answer that are read in one go.
const EVENTS_AT_ONCE: usize = 1_000;

/// State before an event, as events.
#[derive(Debug)]
pub struct StateAt {
    pub state: Vec<Box<RawValue>>,
    pub auth_chain: Vec<Box<RawValue>>,
}

/// State before an event, as ids.
#[derive(Debug)]
pub struct StateIdsAt {
    pub state: Vec<OwnedEventId>,
    pub auth_chain: Vec<OwnedEventId>,
}

impl ServerAccess {
    /// The room's state before an event.
    ///
    /// # Errors
    /// [`RoomsError::EventUnknown`], also if the state there is not known here.
    pub async fn state_at(&self, id: &OwnedEventId) -> Result<StateAt, RoomsError> {
        let (state, auth_chain) = self.state_events_at(id).await?;
        Ok(StateAt { state: pdus(&state)?, auth_chain: pdus(&auth_chain)? })
    }

    /// As [`ServerAccess::state_at`], ids only.
    ///
    /// # Errors
    /// As there.
    pub async fn state_ids_at(&self, id: &OwnedEventId) -> Result<StateIdsAt, RoomsError> {
        let (state, auth_chain) = self.state_events_at(id).await?;
        let ids = |events: Vec<Arc<Event>>| {
            events.into_iter().map(|event| event.stored.event_id.clone()).collect()
        };
        Ok(StateIdsAt { state: ids(state), auth_chain: ids(auth_chain) })
    }

    async fn state_events_at(
        &self,
        id: &OwnedEventId,
    ) -> Result<(Vec<Arc<Event>>, Vec<Arc<Event>>), RoomsError> {
        if self.rooms.is_partial(&self.head.room_id).await? {
            return Err(RoomsError::Forbidden("this server does not know the whole state yet"));
        }
        let event = self.event_with_state(id).await?;
        let state = self.rooms.data().state_all(self.part, event.stored.state_before).await?;
        let state: Vec<EventNo> = state.into_iter().map(|(_, no)| no).collect();
        let auth_chain = self.auth_chain(&state).await?;
        Ok((self.all_events(&state).await?, self.all_events(&auth_chain).await?))
    }

    /// An event of which the state before it is known here.
    pub(super) async fn event_with_state(
        &self,
        id: &OwnedEventId,
    ) -> Result<Arc<Event>, RoomsError> {
        let event = self.known_event(id).await?;
        let is_outlier = event.place.is_none() && !event.stored.soft_failed;
        if event.stored.rejected || is_outlier {
            return Err(RoomsError::EventUnknown);
        }
        Ok(event)
    }

    /// Many events, a round trip for each thousand.
    pub(super) async fn all_events(
        &self,
        numbers: &[EventNo],
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let mut events = Vec::with_capacity(numbers.len());
        for some in numbers.chunks(EVENTS_AT_ONCE) {
            events.extend(self.events(some).await?);
        }
        Ok(events)
    }
}

pub(super) fn pdus(events: &[Arc<Event>]) -> Result<Vec<Box<RawValue>>, RoomsError> {
    events.iter().map(|event| as_pdu(event)).collect()
}
