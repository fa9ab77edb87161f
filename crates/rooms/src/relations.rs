//! Events that relate to an event, and the threads of a room (client-server API, "Relationships
//! API", "Querying threads in a room").

mod threads;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use blaupause_data::{Event, LIMITS, Order, Place, ReadSet, rows::RelationRow};
use blaupause_graph::EventNo;
use ruma::api::Direction;
use serde_json::value::RawValue;

pub use threads::{Threads, ThreadsQuery};

use crate::{
    RoomsError,
    read::{EventInRoom, page_limit, parse_gap},
};

/// Related events that are given when the client does not say how many.
const LIMIT_DEFAULT: u64 = 50;
/// Relations of relations of … relations that are followed.
const RECURSION_MAX: u64 = 3;
/// Related events that are gathered where relations are followed or of mixed types; later ones of
/// an event with more than these are not found.
const GATHERED_MAX: usize = 2_000;
/// Children of many events that are looked at to find the newest ones, and of each at least.
const CHILDREN_LOOKED_AT_MAX: usize = 4 * GATHERED_MAX;
const CHILDREN_EACH_MIN: usize = 4;
/// Relations of one type that one request looks at; the answer has a token to go on from.
const LOOK_MAX: u32 = 1_000;
/// Events that are read in one go.
const STEP_EVENTS: usize = 100;

/// Which related events.
#[derive(Clone, Debug, Default)]
pub struct RelationsQuery {
    pub rel_type: Option<String>,
    pub event_type: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub dir: Direction,
    /// Cut to 1…100.
    pub limit: Option<u64>,
    /// Follow relations of related events.
    pub recurse: bool,
}

/// A page of related events.
#[derive(Debug)]
pub struct Relations {
    pub chunk: Vec<Box<RawValue>>,
    pub next_batch: Option<String>,
    pub prev_batch: Option<String>,
    /// How deep relations are followed, if that was asked for.
    pub recursion_depth: Option<u64>,
}

/// What may be given, in the direction asked.
struct Candidates {
    rows: Vec<(Place, EventNo)>,
    /// The first one that was not looked at, if there are more.
    beyond: Option<Place>,
}

impl Candidates {
    /// The gap to go on from behind one of them; `None` if it is the last.
    fn gap_after(&self, at: usize, dir: Direction) -> Option<Place> {
        let beyond = self.rows.get(at + 1).map(|(place, _)| *place).or(self.beyond)?;
        match dir {
            Direction::Backward => Some(self.rows.get(at)?.0),
            Direction::Forward => Some(beyond),
        }
    }
}

/// A part of the timeline.
struct Span {
    from: Place,
    to: Option<Place>,
    dir: Direction,
}

impl Span {
    fn contains(&self, place: Place) -> bool {
        match self.dir {
            Direction::Backward => place < self.from && self.to.is_none_or(|to| place >= to),
            Direction::Forward => place >= self.from && self.to.is_none_or(|to| place < to),
        }
    }

    fn order(&self) -> Order {
        match self.dir {
            Direction::Backward => Order::Backward,
            Direction::Forward => Order::Forward,
        }
    }
}

impl EventInRoom {
    /// Events that relate to this one.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] if a token is not one of ours.
    pub async fn relations(&self, query: &RelationsQuery) -> Result<Relations, RoomsError> {
        let from = query.from.as_deref().map(parse_gap).transpose()?;
        let to = query.to.as_deref().map(parse_gap).transpose()?;
        let start = match query.dir {
            Direction::Backward => self.access.newest_gap(),
            Direction::Forward => Place::START,
        };
        let span = Span { from: from.unwrap_or(start), to, dir: query.dir };
        let candidates = match &query.rel_type {
            Some(rel_type) if !query.recurse => self.of_type(rel_type, &span).await?,
            _ => self.gather(query, &span).await?,
        };
        let limit = page_limit(query.limit.unwrap_or(LIMIT_DEFAULT)).max(1);
        let (events, next) = self.pick(&candidates, query, limit).await?;
        Ok(Relations {
            chunk: self.access.serialize_page(&events).await?,
            next_batch: next.map(Place::to_token),
            prev_batch: from.map(Place::to_token),
            recursion_depth: query.recurse.then_some(RECURSION_MAX),
        })
    }

    /// Direct relations of one type: a range, however many there are.
    async fn of_type(&self, rel_type: &str, span: &Span) -> Result<Candidates, RoomsError> {
        let (no, rel_type) = (self.event.no, rel_type.to_owned());
        let (first, last) = match span.dir {
            Direction::Backward => (span.to.unwrap_or(Place::START), span.from),
            Direction::Forward => (span.from, span.to.unwrap_or(Place::END)),
        };
        let mut want = ReadSet::new();
        let slot = want.range::<RelationRow>(
            self.access.part,
            Bound::Included(&(no, rel_type.clone(), first)),
            Bound::Excluded(&(no, rel_type, last)),
            span.order(),
            LOOK_MAX,
        );
        let page = want.run(self.access.rooms.data()).await?.many(slot)?;
        let rows = page.rows.into_iter().map(|((.., place), child)| (place, child.value));
        let mut rows: Vec<_> = rows.collect();
        let beyond = if page.more { rows.pop().map(|(place, _)| place) } else { None };
        Ok(Candidates { rows, beyond })
    }

    /// Relations of any type, and relations of those, level by level.
    async fn gather(&self, query: &RelationsQuery, span: &Span) -> Result<Candidates, RoomsError> {
        let mut found: BTreeMap<Place, EventNo> = BTreeMap::new();
        let mut seen = BTreeSet::from([self.event.no]);
        let mut level = vec![self.event.no];
        let depth = if query.recurse { RECURSION_MAX } else { 1 };
        for _ in 0..depth {
            let room = GATHERED_MAX.saturating_sub(found.len());
            if level.is_empty() || room == 0 {
                break;
            }
            let mut children = self.children(&level, query.rel_type.as_deref(), room).await?;
            children.retain(|(_, no)| seen.insert(*no));
            if query.recurse && query.event_type.is_some() {
                // What does not fit does not lead on to what does.
                let numbers = children.iter().map(|(_, no)| *no).collect();
                let fits = self.access.load(numbers).await?;
                let fits: BTreeSet<EventNo> =
                    fits.iter().filter(|event| of_kind(event, query)).map(|e| e.no).collect();
                children.retain(|(_, no)| fits.contains(no));
            }
            level = children.iter().map(|(_, no)| *no).collect();
            found.extend(children);
        }
        found.retain(|place, _| span.contains(*place));
        let mut rows: Vec<_> = found.into_iter().collect();
        if span.dir == Direction::Backward {
            rows.reverse();
        }
        Ok(Candidates { rows, beyond: None })
    }

    /// Children of many events, the newest of each. One round trip.
    async fn children(
        &self,
        of: &[EventNo],
        rel_type: Option<&str>,
        max: usize,
    ) -> Result<Vec<(Place, EventNo)>, RoomsError> {
        // The more parents, the fewer children of each are looked at.
        let each = (CHILDREN_LOOKED_AT_MAX / of.len().max(1)).clamp(CHILDREN_EACH_MIN, max.max(1));
        let limit = u32::try_from(each).unwrap_or(LIMITS.scan_rows_max);
        let mut want = ReadSet::new();
        let slots: Vec<_> = of
            .iter()
            .map(|no| match rel_type {
                Some(rel_type) => want.prefix::<RelationRow>(
                    self.access.part,
                    &(*no, rel_type.to_owned()),
                    Order::Backward,
                    limit,
                ),
                None => want.prefix::<RelationRow>(self.access.part, no, Order::Backward, limit),
            })
            .collect();
        let got = want.run(self.access.rooms.data()).await?;
        let mut children = Vec::new();
        for slot in slots {
            let rows = got.many(slot)?.rows.into_iter();
            children.extend(rows.map(|((.., place), child)| (place, child.value)));
        }
        children.sort_unstable_by(|a, b| b.cmp(a));
        children.truncate(max);
        Ok(children)
    }

    /// The first of the candidates that the reader may see, and the gap to go on from.
    async fn pick(
        &self,
        candidates: &Candidates,
        query: &RelationsQuery,
        limit: usize,
    ) -> Result<(Vec<Arc<Event>>, Option<Place>), RoomsError> {
        let access = &self.access;
        let ignored = access.rooms.accounts().ignored_users(&access.reader.user).await?;
        let mut lens = access.empty_lens().await?;
        let mut picked = Vec::new();
        for (step, rows) in candidates.rows.chunks(STEP_EVENTS).enumerate() {
            let numbers: Vec<_> = rows.iter().map(|(_, no)| (access.part, *no)).collect();
            let events = access.rooms.data().events(&numbers).await?;
            access.rooms.widen(&mut lens, events.iter().flatten()).await?;
            for (at, event) in events.into_iter().enumerate() {
                let Some(event) = event else { continue };
                let shown = access.reaches(&event)
                    && lens.sees(&event)
                    && !ignored.contains(&event.sender)
                    && of_kind(&event, query);
                if !shown {
                    continue;
                }
                picked.push(event);
                if picked.len() == limit {
                    let next = candidates.gap_after(step * STEP_EVENTS + at, query.dir);
                    return Ok((picked, next));
                }
            }
        }
        let last = candidates.rows.len().checked_sub(1);
        Ok((picked, last.and_then(|last| candidates.gap_after(last, query.dir))))
    }
}

fn of_kind(event: &Event, query: &RelationsQuery) -> bool {
    query.event_type.as_ref().is_none_or(|kind| *kind == event.kind)
}
