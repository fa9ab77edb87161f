//! `GET /rooms/{roomId}/messages`: a page of a room's history.

use std::{collections::BTreeSet, sync::Arc};

use blaupause_data::{Event, Place};
use blaupause_graph::StateRoot;
use ruma::{
    OwnedUserId,
    api::{
        Direction,
        client::filter::{LazyLoadOptions, RoomEventFilter},
    },
};
use serde_json::value::RawValue;

use super::{
    RoomAccess,
    filter::{RelationFilter, is_open},
    timeline::{Found, Search},
    token,
};
use crate::RoomsError;

/// Events of a page at most, whatever the client asks.
pub(crate) const PAGE_EVENTS_MAX: usize = 100;

/// How often other servers are asked for history that one page needs.
const FILLS_MAX: usize = 4;

/// Which page.
#[derive(Clone, Debug)]
pub struct MessagesQuery {
    pub from: Option<String>,
    pub to: Option<String>,
    pub dir: Direction,
    /// Cut to 1…100.
    pub limit: u64,
    pub filter: RoomEventFilter,
}

/// A page.
#[derive(Debug)]
pub struct Messages {
    pub start: String,
    /// Where to go on; `None` at the end of the history that the reader may see.
    pub end: Option<String>,
    /// In the direction asked.
    pub chunk: Vec<Box<RawValue>>,
    /// With lazy loading: the member events of the senders.
    pub state: Vec<Box<RawValue>>,
}

/// A client's limit, within bounds.
pub(crate) fn page_limit(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).min(PAGE_EVENTS_MAX)
}

impl RoomAccess {
    /// A page of the history. With warm caches two round trips.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] if a token is not one of ours.
    pub async fn messages(&self, query: &MessagesQuery) -> Result<Messages, RoomsError> {
        self.related_messages(query, &RelationFilter::OPEN).await
    }

    /// As [`RoomAccess::messages`], events with certain relations only (MSC3874).
    ///
    /// # Errors
    /// As there.
    pub async fn related_messages(
        &self,
        query: &MessagesQuery,
        relations: &RelationFilter,
    ) -> Result<Messages, RoomsError> {
        let from = match token::parse_optional(query.from.as_deref())? {
            Some(from) => from,
            None if query.dir == Direction::Forward => Place::START,
            None => self.newest_gap(),
        };
        let limit = query.filter.limit.map_or(query.limit, |limit| query.limit.min(limit.into()));
        let search = Search {
            from,
            to: token::parse_optional(query.to.as_deref())?,
            dir: query.dir,
            limit: page_limit(limit).max(1),
            filter: &query.filter,
            relations,
        };
        let found = self.find_with_history(search).await?;
        // With a filter the start of the history may lie far before the last event that passed: who
        // asks on gets an empty page, and knows.
        let is_filtered = !is_open(search.filter) || !search.relations.is_open();
        let last = found.events.last().filter(|_| is_filtered && query.dir == Direction::Backward);
        let next = found.next.or_else(|| last.and_then(|event| event.place));
        let state = match (&query.filter.lazy_load_options, found.events.first()) {
            (LazyLoadOptions::Enabled { .. }, Some(first)) => {
                self.senders(&found.events, first.stored.state_after).await?
            }
            _ => Vec::new(),
        };
        Ok(Messages {
            start: from.to_token(),
            end: next.map(Place::to_token),
            chunk: self.serialize_page(&found.events).await?,
            state: self.serialize_state(&state),
        })
    }

    /// As [`RoomAccess::find`]; other servers are asked for history that is not here.
    async fn find_with_history(&self, mut search: Search<'_>) -> Result<Found, RoomsError> {
        let is_shared = self.rooms.data().servers_in(&self.room).await?.len() > 1;
        if search.dir == Direction::Forward || !is_shared {
            return self.find(search).await;
        }
        let (limit, start) = (search.limit, search.from);
        let mut found = Found::default();
        for _ in 0..FILLS_MAX {
            if let Some(gap) = self.rooms.newest_gap(&self.room, search.from, search.from).await?
                && !Box::pin(self.rooms.fill_in_order(&self.room, &gap)).await?
                && search.from != start
            {
                // Nobody knows more at the moment: who asks again, from the gap on, may have more
                // luck. Beyond it we read then, so that nothing is told twice.
                break;
            }
            let more = self.find(search).await?;
            found.events.extend(more.events);
            (found.next, found.is_elsewhere) = (more.next, more.is_elsewhere);
            match more.next {
                Some(next) if more.is_elsewhere && found.events.len() < limit => {
                    (search.from, search.limit) = (next, limit - found.events.len());
                }
                _ => break,
            }
        }
        Ok(found)
    }

    /// The member events of those who sent something, at a state.
    pub(crate) async fn senders(
        &self,
        events: &[Arc<Event>],
        state: StateRoot,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let senders: BTreeSet<OwnedUserId> =
            events.iter().map(|event| event.sender.clone()).collect();
        self.member_events(state, senders).await
    }
}
