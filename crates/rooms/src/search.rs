//! `POST /search`: messages that contain some words (client-server API, "Server side search").
//!
//! Words are looked up in an index that searching itself builds (`search/index.rs`); what may fit
//! is read, the newest first, until there are [`HITS_MAX`] hits. Nothing in encrypted rooms is
//! found.

mod index;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use blaupause_data::{Event, Member, try_together};
use blaupause_graph::EventNo;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, api::client::filter::RoomEventFilter};
use serde_json::value::RawValue;

pub(crate) use self::words::has_text;
use self::{index::Budget, words::rank};

use crate::{
    Rooms, RoomsError,
    read::{Context, EventInRoom, Reader, RoomAccess, filter, page_limit},
};

/// Rooms that are searched: those with the newest changes of the user's membership first.
const ROOMS_MAX: usize = 1_000;
/// Rooms whose index is read side by side: each may take some megabytes meanwhile.
const ROOMS_AT_ONCE: usize = 16;
/// Events that are read in one go.
const STEP_EVENTS: usize = 1_000;
/// Events of a room that are read in one go, at least.
const ROOM_STEP_MIN: usize = 50;
/// Events that one search reads in all.
const LOOKED_MAX: usize = 20_000;
/// Hits that are kept; the count says no more than this.
const HITS_MAX: usize = 1_000;
/// Hits of a page when the client does not say.
const PAGE_HITS_DEFAULT: u64 = 10;
/// Events of context on each side of a hit.
const CONTEXT_EVENTS_MAX: u64 = 20;
/// Words of a search term; further ones do not count.
const WORDS_MAX: usize = 20;
/// Longest search term, in bytes.
const TERM_BYTES_MAX: usize = 1_000;

/// What to search.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// Words that all have to occur, in any order and any case.
    pub term: String,
    /// Which of `content.body`, `content.name`, `content.topic`; empty: all.
    pub keys: Vec<String>,
    pub filter: RoomEventFilter,
    /// Best hits first instead of newest.
    pub by_rank: bool,
    /// Events before and after each hit, if wanted; cut to 20.
    pub context: Option<(u64, u64)>,
    /// The state of the rooms with hits.
    pub include_state: bool,
    pub next_batch: Option<String>,
}

/// A hit.
#[derive(Debug)]
pub struct SearchResult {
    pub rank: f64,
    pub room: OwnedRoomId,
    pub sender: OwnedUserId,
    pub event: EventInRoom,
    pub json: Box<RawValue>,
    pub context: Option<Context>,
}

/// A page of hits.
#[derive(Debug)]
pub struct SearchResults {
    /// Hits in all, as far as was looked.
    pub count: usize,
    /// Words that were searched, in lower case.
    pub highlights: Vec<String>,
    pub results: Vec<SearchResult>,
    pub state: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
    pub next_batch: Option<String>,
}

struct Hit {
    access: RoomAccess,
    event: Arc<Event>,
    rank: usize,
}

impl Rooms {
    /// Search the rooms that the reader is in, or was.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] if there is nothing to search for, or the token is not ours.
    pub async fn search(
        &self,
        reader: &Reader,
        query: &SearchQuery,
    ) -> Result<SearchResults, RoomsError> {
        let words = words(&query.term)?;
        let skip = query.next_batch.as_deref().map_or(Ok(0), parse_token)?;
        let mut hits = self.hits(reader, query, &words).await?;
        let newest = |hit: &Hit| std::cmp::Reverse((hit.event.origin_server_ts, hit.event.place));
        hits.sort_by_key(newest);
        hits.truncate(HITS_MAX);
        if query.by_rank {
            hits.sort_by_key(|hit| std::cmp::Reverse(hit.rank));
        }
        let limit = query.filter.limit.map_or(PAGE_HITS_DEFAULT, Into::into);
        let end = skip.saturating_add(page_limit(limit).max(1));
        let count = hits.len();
        let page = hits.into_iter().skip(skip).take(end - skip);
        let (results, state) = self.told(page.collect(), query).await?;
        let has_hits = !results.is_empty();
        Ok(SearchResults {
            count,
            highlights: words,
            results,
            state,
            // A page with hits names the next one, though that may be empty: so clients know of other
            // servers, and the last page is the one without hits.
            next_batch: has_hits.then(|| format!("r{end}")),
        })
    }

    /// Hits, from every room its newest, until there are enough.
    async fn hits(
        &self,
        reader: &Reader,
        query: &SearchQuery,
        words: &[String],
    ) -> Result<Vec<Hit>, RoomsError> {
        let rooms = self.searched(reader, query).await?;
        let budget = Budget::new();
        let mut open = Vec::new();
        for some in rooms.chunks(ROOMS_AT_ONCE) {
            let found = some.iter().map(|room| room.candidates(words, &budget));
            let found = self.data().in_waves(try_together(found)).await?;
            let found = some.iter().zip(found).filter(|(_, numbers)| !numbers.is_empty());
            open.extend(found.map(|(room, numbers)| (room, numbers.into_iter())));
        }
        let (mut hits, mut looked) = (Vec::new(), 0);
        while !open.is_empty() && hits.len() < HITS_MAX && looked < LOOKED_MAX {
            let each = (STEP_EVENTS / open.len()).max(ROOM_STEP_MIN);
            let some: Vec<_> = open
                .iter_mut()
                .map(|(room, numbers)| (*room, numbers.by_ref().take(each).collect::<Vec<_>>()))
                .collect();
            open.retain(|(_, numbers)| numbers.len() > 0);
            looked += some.iter().map(|(_, numbers)| numbers.len()).sum::<usize>();
            hits.extend(self.fitting(reader, query, words, some).await?);
        }
        Ok(hits)
    }

    /// Those of the events that have the words, pass the filter, and that the reader may see.
    async fn fitting(
        &self,
        reader: &Reader,
        query: &SearchQuery,
        words: &[String],
        some: Vec<(&RoomAccess, Vec<EventNo>)>,
    ) -> Result<Vec<Hit>, RoomsError> {
        let wanted: Vec<_> = some
            .iter()
            .flat_map(|(room, numbers)| numbers.iter().map(|no| (room.part, *no)))
            .collect();
        let mut events = self.data().events(&wanted).await?.into_iter();
        let mut by_room = Vec::new();
        for (room, numbers) in some {
            let events = events.by_ref().take(numbers.len()).flatten();
            let ranked = events.filter(|event| event.place.is_some());
            let ranked = ranked.map(|event| (rank(&event, &query.keys, words), event));
            let found: Vec<_> = ranked
                .filter(|(rank, event)| *rank > 0 && filter::event_passes(&query.filter, event))
                .collect();
            if !found.is_empty() {
                by_room.push((room, found));
            }
        }
        let shown = by_room.iter().map(|(room, found)| {
            let events = found.iter().map(|(_, event)| Arc::clone(event)).collect();
            self.visible_events(&reader.user, room.room(), events)
        });
        let shown = self.data().in_waves(try_together(shown)).await?;
        let mut hits = Vec::new();
        for ((access, found), shown) in by_room.into_iter().zip(shown) {
            let shown: BTreeSet<_> = shown.into_iter().map(|event| event.no).collect();
            let shown = found.into_iter().filter(|(_, event)| shown.contains(&event.no));
            hits.extend(
                shown.filter(|(_, event)| access.reaches(event)).map(|(rank, event)| Hit {
                    access: access.clone(),
                    event,
                    rank,
                }),
            );
        }
        Ok(hits)
    }

    /// The rooms to be searched.
    async fn searched(
        &self,
        reader: &Reader,
        query: &SearchQuery,
    ) -> Result<Vec<RoomAccess>, RoomsError> {
        let mut rooms = self.data().rooms_of(&reader.user).await?;
        rooms.retain(|room| {
            (room.membership == Member::Join || room.was_joined)
                && !room.forgotten
                && filter::room_passes(&query.filter, &room.room_id)
        });
        rooms.sort_by_key(|room| std::cmp::Reverse((room.membership == Member::Join, room.pos)));
        rooms.truncate(ROOMS_MAX);
        let ids: Vec<_> = rooms.into_iter().map(|room| room.value.room_id).collect();
        self.accesses(reader, &ids).await
    }

    /// Hits as the reader sees them, with their context; all hits side by side.
    async fn told(
        &self,
        hits: Vec<Hit>,
        query: &SearchQuery,
    ) -> Result<(Vec<SearchResult>, BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>), RoomsError> {
        let contexts = hits.iter().map(|hit| hit.context(query));
        let mut rooms: BTreeMap<&RoomId, &RoomAccess> = BTreeMap::new();
        if query.include_state {
            rooms.extend(hits.iter().map(|hit| (hit.access.room(), &hit.access)));
        }
        let state = rooms.values().map(|access| access.full_state());
        let data = self.data();
        let (json, contexts, state) = data
            .in_waves(async {
                tokio::join!(told_by_room(&hits), try_together(contexts), try_together(state))
            })
            .await;
        let (json, contexts, state) = (json?, contexts?, state?);
        let rooms = rooms.into_keys().map(ToOwned::to_owned);
        let state = rooms.zip(state).collect();
        let told = hits.into_iter().zip(json).zip(contexts);
        let results = told.map(|((Hit { access, event, rank }, json), context)| SearchResult {
            rank: rank as f64,
            room: access.room().to_owned(),
            sender: event.sender.clone(),
            json,
            context,
            event: EventInRoom { access, event },
        });
        Ok((results.collect(), state))
    }
}

impl Hit {
    async fn context(&self, query: &SearchQuery) -> Result<Option<Context>, RoomsError> {
        let Some((before, after)) = query.context else { return Ok(None) };
        let cut = |limit: u64| limit.min(CONTEXT_EVENTS_MAX) as usize;
        let event = EventInRoom { access: self.access.clone(), event: Arc::clone(&self.event) };
        let filter = RoomEventFilter::default();
        Ok(Some(event.surroundings(cut(before), cut(after), &filter).await?.context))
    }
}

/// Hits as JSON, each room's together.
async fn told_by_room(hits: &[Hit]) -> Result<Vec<Box<RawValue>>, RoomsError> {
    let mut rooms: BTreeMap<&RoomId, Vec<usize>> = BTreeMap::new();
    for (at, hit) in hits.iter().enumerate() {
        rooms.entry(hit.access.room()).or_default().push(at);
    }
    let pages = rooms.values().map(|at| async {
        let events: Vec<_> = at.iter().map(|at| Arc::clone(&hits[*at].event)).collect();
        hits[at[0]].access.serialize_page(&events).await
    });
    let pages = try_together(pages).await?;
    let told: BTreeMap<usize, Box<RawValue>> =
        rooms.into_values().zip(pages).flat_map(|(at, page)| at.into_iter().zip(page)).collect();
    Ok(told.into_values().collect())
}

fn words(term: &str) -> Result<Vec<String>, RoomsError> {
    if term.len() > TERM_BYTES_MAX {
        return Err(RoomsError::Invalid("the search term is too long"));
    }
    let words: Vec<_> = term.split_whitespace().take(WORDS_MAX).map(str::to_lowercase).collect();
    if words.is_empty() {
        return Err(RoomsError::Invalid("the search term is empty"));
    }
    Ok(words)
}

fn parse_token(token: &str) -> Result<usize, RoomsError> {
    let skip = token.strip_prefix('r').and_then(|skip| skip.parse().ok());
    skip.filter(|skip| *skip < HITS_MAX).ok_or(RoomsError::Invalid("unknown pagination token"))
}
