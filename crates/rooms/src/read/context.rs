//! `GET /rooms/{roomId}/context/{eventId}`: what was said around an event.

use std::sync::Arc;

use blaupause_data::Event;
use blaupause_graph::StateRoot;
use ruma::api::{
    Direction,
    client::filter::{LazyLoadOptions, RoomEventFilter},
};
use serde_json::value::RawValue;

use super::{EventInRoom, filter::RelationFilter, messages::page_limit, timeline::Search};
use crate::RoomsError;

/// How much around an event.
#[derive(Clone, Debug)]
pub struct ContextQuery {
    /// Events before and after it in sum; cut to 100.
    pub limit: u64,
    pub filter: RoomEventFilter,
}

/// An event and its surroundings.
#[derive(Debug)]
pub struct Context {
    pub start: String,
    pub end: String,
    /// Newest first.
    pub before: Vec<Box<RawValue>>,
    pub event: Box<RawValue>,
    /// Oldest first.
    pub after: Vec<Box<RawValue>>,
    /// The state after the last event given.
    pub state: Vec<Box<RawValue>>,
}

/// What lies around an event, before its state is told.
pub(crate) struct Surroundings {
    /// Without state.
    pub context: Context,
    pub events: Vec<Arc<Event>>,
    /// After the last of the events.
    pub state: StateRoot,
}

impl EventInRoom {
    /// What was said around the event.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn context(&self, query: &ContextQuery) -> Result<Context, RoomsError> {
        let limit = page_limit(query.limit);
        let around = self.surroundings(limit / 2, limit - limit / 2, &query.filter).await?;
        let Surroundings { mut context, events, state } = around;
        let members = match query.filter.lazy_load_options {
            LazyLoadOptions::Disabled => None,
            LazyLoadOptions::Enabled { .. } => {
                Some(events.iter().map(|event| event.sender.clone()).collect())
            }
        };
        let mut state = self.access.state_events(state, members).await?;
        state.retain(|event| super::filter::event_passes(&query.filter, event));
        context.state = self.access.serialize_state(&state);
        Ok(context)
    }

    /// Events before and after, without the state.
    pub(crate) async fn surroundings(
        &self,
        before: usize,
        after: usize,
        filter: &RoomEventFilter,
    ) -> Result<Surroundings, RoomsError> {
        let access = &self.access;
        let place = self.event.place.ok_or(RoomsError::EventUnknown)?;
        // Seen before the timeline is: what comes later lies behind this gap.
        let newest = access.newest_gap();
        let open = RelationFilter::OPEN;
        let search =
            |from, dir, limit| Search { from, to: None, dir, limit, filter, relations: &open };
        // Boxed: two searches side by side are much for a stack.
        let later = Box::pin(async {
            // The event itself comes first in this direction.
            let next = access.entries(place, None, Direction::Forward, 2).await?;
            let next = next.rows.get(1).map(|(place, _)| *place);
            let later = match next {
                Some(next) => access.find(search(next, Direction::Forward, after)).await?,
                None => super::timeline::Found::default(),
            };
            Ok::<_, RoomsError>((next, later))
        });
        let earlier = Box::pin(access.find(search(place, Direction::Backward, before)));
        let both = async { tokio::join!(earlier, later) };
        let (earlier, later) = access.rooms.data().in_waves(both).await;
        let (earlier, (next, later)) = (earlier?, later?);
        let oldest = earlier.events.last().and_then(|event| event.place);
        let start = earlier.next.or(oldest).unwrap_or(place);
        let end = match (after, next) {
            (0, Some(next)) => next,
            _ => later.next.unwrap_or(newest),
        };
        let state = later.events.last().unwrap_or(&self.event).stored.state_after;
        let count = earlier.events.len();
        let mut events = earlier.events;
        events.push(Arc::clone(&self.event));
        events.extend(later.events);
        let mut json = access.serialize_page(&events).await?.into_iter();
        let context = Context {
            start: start.to_token(),
            end: end.to_token(),
            before: json.by_ref().take(count).collect(),
            event: json.next().ok_or(RoomsError::EventUnknown)?,
            after: json.collect(),
            state: Vec::new(),
        };
        Ok(Surroundings { context, events, state })
    }
}
