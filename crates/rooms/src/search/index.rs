//! The index of a room: pages of events that follow each other, each with the words in them.
//!
//! Nothing is indexed before somebody searches: most rooms are encrypted, and few of the others are
//! ever searched. A page is made by the search that misses it, and made anew when it lags behind
//! or an event in it was redacted (which deletes the page in the same batch, so that no word of it
//! stays).

use std::{
    ops::Bound,
    sync::atomic::{AtomicUsize, Ordering},
};

use blaupause_data::{Order, ReadSet, Write, rows::EventRow};
use blaupause_graph::EventNo;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::words::{PAGE_EVENTS, PageWords, with_all};
use crate::{
    Rooms, RoomsError,
    read::RoomAccess,
    rows::{SearchPage, SearchPageRow},
};

/// Newest events of a room that may be missing in the index: a search looks at them one by one.
const TAIL_MAX: u32 = 32;
/// Pages of a room that are read in one go.
const STEP_PAGES: u32 = 64;
/// Pages of a room that are searched, the newest: a million events.
const ROOM_PAGES_MAX: u32 = 4_096;
/// Pages that one search makes: a hundred thousand events. The next search makes the rest.
const BUILD_PAGES_MAX: usize = 400;

/// How many pages a search may still make.
pub(super) struct Budget(AtomicUsize);

impl Budget {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(BUILD_PAGES_MAX))
    }

    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl RoomAccess {
    /// Numbers of the events that may have all the words, the newest first.
    pub(super) async fn candidates(
        &self,
        words: &[String],
        budget: &Budget,
    ) -> Result<Vec<EventNo>, RoomsError> {
        let end = self.head.next_event.0;
        let pages = end.div_ceil(PAGE_EVENTS);
        let oldest = pages.saturating_sub(ROOM_PAGES_MAX);
        let mut found = Vec::new();
        let mut open = pages;
        while open > oldest {
            let from = open.saturating_sub(STEP_PAGES).max(oldest);
            let mut stored = self.stored_pages(from, open).await?;
            for page in (from..open).rev() {
                let known = stored.pop_if(|(at, _)| *at == page).map(|(_, known)| known);
                self.look_into(page, known, words, budget, &mut found).await?;
            }
            open = from;
        }
        Ok(found)
    }

    /// The stored pages between two numbers, in their order.
    async fn stored_pages(&self, from: u32, to: u32) -> Result<Vec<(u32, SearchPage)>, RoomsError> {
        let mut pages = Vec::new();
        let mut from = from;
        loop {
            let mut want = ReadSet::new();
            let (from_key, to_key) = (Bound::Included(&from), Bound::Excluded(&to));
            let rows = want.range::<SearchPageRow>(
                self.part,
                from_key,
                to_key,
                Order::Forward,
                STEP_PAGES,
            );
            let rows = want.run(self.rooms.data()).await?.many(rows)?;
            pages.extend(rows.rows.into_iter().map(|(at, page)| (at, page.value)));
            let Some((last, _)) = pages.last().filter(|_| rows.more) else { return Ok(pages) };
            from = last + 1;
        }
    }

    async fn look_into(
        &self,
        page: u32,
        known: Option<SearchPage>,
        words: &[String],
        budget: &Budget,
        found: &mut Vec<EventNo>,
    ) -> Result<(), RoomsError> {
        let first = page * PAGE_EVENTS;
        let end = self.head.next_event.0.min(first + PAGE_EVENTS);
        let behind = end.saturating_sub(known.as_ref().map_or(first, |known| known.upto));
        let is_full = end == first + PAGE_EVENTS;
        let known = if behind > TAIL_MAX || (behind > 0 && is_full) {
            if budget.take() { Some(self.build(page).await?) } else { known }
        } else {
            known
        };
        let upto = known.as_ref().map_or(first, |known| known.upto);
        // Beyond the budget the events of a page that was never made are not found.
        if end.saturating_sub(upto) <= TAIL_MAX {
            found.extend((upto..end).rev().map(EventNo));
        }
        if let Some(known) = known {
            found.extend(with_all(&known, words).backward().map(|at| EventNo(first + at)));
        }
        Ok(())
    }

    /// Make a page of the events that are durable, and store it.
    async fn build(&self, page: u32) -> Result<SearchPage, RoomsError> {
        let data = self.rooms.data();
        // Without the lane an event could be redacted between reading and storing.
        let lane = self.rooms.lanes().enter(self.part).await;
        let first = page * PAGE_EVENTS;
        let end = EventNo(first.saturating_add(PAGE_EVENTS));
        let (mut words, mut next) = (PageWords::default(), EventNo(first));
        loop {
            let mut want = ReadSet::new();
            let (from, to) = (Bound::Included(&next), Bound::Excluded(&end));
            let rows = want.range::<EventRow>(self.part, from, to, Order::Forward, PAGE_EVENTS);
            let rows = want.run(data).await?.many(rows)?;
            for (no, event) in &rows.rows {
                if let Ok(pdu) = serde_json::from_str::<Said<'_>>(&event.pdu) {
                    words.add(no.0 - first, &pdu.kind, pdu.content);
                }
                next = EventNo(no.0 + 1);
            }
            if !rows.more {
                break;
            }
        }
        let made = words.finish(next.0);
        let mut write = Write::new(self.part);
        write.put::<SearchPageRow>(self.part, &page, &made);
        let stored = data.submit(write);
        // A redaction that takes the lane now is queued behind this.
        drop(lane);
        stored.await.map_err(blaupause_data::DataError::from)?;
        Ok(made)
    }
}

/// What the index needs of a PDU.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

impl Rooms {
    /// Forget the page that an event is in: it is about to lose its content.
    pub(crate) fn unindex(write: &mut Write, part: blaupause_data::Part, no: EventNo) {
        write.del::<SearchPageRow>(part, &(no.0 / PAGE_EVENTS));
    }
}
