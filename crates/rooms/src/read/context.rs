//! `GET /rooms/{roomId}/context/{eventId}`: what was said around an event.

use blaupause_data::Place;
use ruma::api::{
    Direction,
    client::filter::{LazyLoadOptions, RoomEventFilter},
};
use serde_json::value::RawValue;

use super::{EventInRoom, messages::page_limit, timeline::Search};
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

impl EventInRoom {
    /// What was said around the event.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn context(&self, query: &ContextQuery) -> Result<Context, RoomsError> {
        let limit = page_limit(query.limit);
        let mut context = self.surroundings(limit / 2, limit - limit / 2, &query.filter).await?;
        let last = context.2;
        let members = match query.filter.lazy_load_options {
            LazyLoadOptions::Disabled => None,
            LazyLoadOptions::Enabled { .. } => {
                Some(context.1.iter().map(|event| event.sender.clone()).collect())
            }
        };
        let state = self.access.state_events(last, members).await?;
        let state: Vec<_> = state
            .into_iter()
            .filter(|event| super::filter::event_passes(&query.filter, event))
            .collect();
        context.0.state = self.access.serialize_state(&state);
        Ok(context.0)
    }

    /// Events before and after, all events given, and the state after the last of them.
    pub(crate) async fn surroundings(
        &self,
        before: usize,
        after: usize,
        filter: &RoomEventFilter,
    ) -> Result<
        (Context, Vec<std::sync::Arc<blaupause_data::Event>>, blaupause_graph::StateRoot),
        RoomsError,
    > {
        let access = &self.access;
        let place = self.event.place.ok_or(RoomsError::EventUnknown)?;
        // Seen before the timeline is: what comes later lies behind this gap.
        let newest = access.newest_gap();
        let search = |from, dir, limit| Search { from, to: None, dir, limit, filter };
        let earlier = access.find(search(place, Direction::Backward, before)).await?;
        // The event itself comes first in this direction.
        let next = access.entries(place, None, Direction::Forward, 2).await?;
        let next = next.rows.get(1).map(|(place, _)| *place);
        let later = match next {
            Some(next) => access.find(search(next, Direction::Forward, after)).await?,
            None => super::timeline::Found::default(),
        };
        let oldest = earlier.events.last().and_then(|event| event.place);
        let end = match (after, next) {
            (0, Some(next)) => next,
            _ => later.next.unwrap_or(newest),
        };
        let last = later.events.last().unwrap_or(&self.event);
        let state = last.stored.state_after;
        let (count_before, count_after) = (earlier.events.len(), later.events.len());
        let mut all = earlier.events;
        all.push(std::sync::Arc::clone(&self.event));
        all.extend(later.events);
        let mut json = access.serialize_page(&all).await?.into_iter();
        let before = json.by_ref().take(count_before).collect();
        let event = json.next().ok_or(RoomsError::EventUnknown)?;
        let after = json.take(count_after).collect();
        let start = earlier.next.or(oldest).unwrap_or(place).to_token();
        let end = Place::to_token(end);
        Ok((Context { start, end, before, event, after, state: Vec::new() }, all, state))
    }
}
