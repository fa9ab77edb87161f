//! The newest part of rooms' timelines, kept in memory.
//!
//! A message in a room is looked at by each of its connected members, and by the counts of each of
//! them. All but the first find it here. A tail never lacks an entry that the feed has published:
//! the feed tells of an event before anybody can ask for it, and a tail that was told of more than
//! it holds is read up to there.

use std::{collections::VecDeque, num::NonZeroUsize, ops::Bound};

use blaupause_graph::{EventNo, StateRoot};
use blaupause_store::{Part, StreamPos};
use lru::LruCache;
use parking_lot::Mutex;

use crate::{
    Change, Data, DataError, Order, Parts, Place, ReadSet,
    rows::{TimelineEntry, TimelineRow},
};

/// Rooms whose tail is kept (some kB each).
const TAILS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// Entries that are read of a room at once.
const READ_MAX: u32 = 32;
/// Entries of a room that are kept.
const KEPT_MAX: usize = 96;

/// A part of a room's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Newest first.
    pub entries: Vec<(Place, TimelineEntry)>,
    /// The room's state where the stretch begins (at `since`, whether or not the entries reach
    /// back that far); empty without a `since`.
    pub state_since: StateRoot,
    /// The room's state where the stretch ends.
    pub state_until: StateRoot,
}

/// Which part of a timeline.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Exclusive; `None`: from the beginning.
    since: Option<Place>,
    /// Inclusive.
    until: Place,
    /// Newest entries that are wanted.
    limit: usize,
}

/// The newest entries of one room.
#[derive(Debug)]
struct Tail {
    /// Ascending, without hole.
    entries: VecDeque<(Place, TimelineEntry)>,
    /// Everything up to here is in `entries`, as far as these reach back; `None`: nothing was read
    /// yet.
    upto: Option<StreamPos>,
    /// The newest event that the feed told of, or something later.
    newest: StreamPos,
}

impl Tail {
    fn is_complete(&self, until: Place) -> bool {
        let until = until.position().unwrap_or(StreamPos(u64::MAX));
        self.upto.is_some_and(|upto| upto >= until.min(self.newest))
    }

    /// Nothing comes before the first entry.
    fn is_whole(&self) -> bool {
        self.entries.front().is_some_and(|(_, entry)| entry.no == EventNo(0))
    }

    /// The stretch, if the tail reaches back that far. `before` is the state at `since`, where
    /// that was read.
    fn answer(&self, wanted: &Wanted, before: Option<StateRoot>) -> Option<Stretch> {
        let end = self.entries.partition_point(|(place, _)| *place <= wanted.until);
        let state_until = match end.checked_sub(1) {
            Some(last) => self.entries[last].1.state,
            // All of it came later.
            None => return None,
        };
        let start = match wanted.since {
            Some(since) => self.entries.partition_point(|(place, _)| *place <= since).min(end),
            None => 0,
        };
        let reaches_since = start > 0 || self.is_whole();
        if !reaches_since && end - start < wanted.limit {
            return None;
        }
        let state_since = match (wanted.since, start.checked_sub(1)) {
            (None, _) => StateRoot::EMPTY,
            (Some(_), Some(last)) => self.entries[last].1.state,
            (Some(_), None) if self.is_whole() => StateRoot::EMPTY,
            (Some(_), None) => before?,
        };
        let entries = self.entries.range(start..end).rev().take(wanted.limit).copied().collect();
        Some(Stretch { entries, state_since, state_until })
    }

    /// Take in what was read: everything after `from` (`None`: from the beginning) up to `upto`,
    /// newest first; `more` if there are older ones after `from`.
    fn take_in(
        &mut self,
        read: &[(Place, TimelineEntry)],
        more: bool,
        from: Option<StreamPos>,
        upto: StreamPos,
    ) {
        if self.upto.is_some_and(|known| known > upto) || from > self.upto {
            return; // Somebody else read more meanwhile, or the tail was forgotten.
        }
        if more || from.is_none() {
            self.entries.clear();
        }
        let last = self.entries.back().map(|(place, _)| *place);
        let news = read.iter().rev().filter(|(place, _)| last.is_none_or(|last| *place > last));
        self.entries.extend(news.copied());
        while self.entries.len() > KEPT_MAX {
            self.entries.pop_front();
        }
        self.upto = Some(upto);
    }
}

/// Tails of recently read rooms.
pub(crate) struct Tails(Mutex<LruCache<Part, Tail>>);

/// What a look at a tail gave.
enum Look {
    Found(Stretch),
    /// The tail is complete and too short.
    TooFar,
    /// It has to be read from here on.
    Behind(Option<StreamPos>),
}

impl Tails {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(TAILS_MAX)))
    }

    /// Events were appended, or put between others. Called before anybody can ask for them.
    pub(crate) fn note(&self, parts: Parts, pos: StreamPos, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Event { room, .. } => {
                    if let Some(tail) = self.0.lock().peek_mut(&parts.room(room)) {
                        tail.newest = tail.newest.max(pos);
                    }
                }
                // What is kept may have a hole now.
                Change::History { room } => drop(self.0.lock().pop(&parts.room(room))),
                _ => {}
            }
        }
    }

    fn look(&self, data: &Data, room: Part, wanted: &Wanted) -> Look {
        let mut tails = self.0.lock();
        let tail = tails.get_or_insert_mut(room, || Tail {
            entries: VecDeque::new(),
            upto: None,
            // Events up to here may have been told of when there was no tail to note it.
            newest: data.feed().newest(),
        });
        if !tail.is_complete(wanted.until) {
            return Look::Behind(tail.upto);
        }
        tail.answer(wanted, None).map_or(Look::TooFar, Look::Found)
    }
}

impl Data {
    /// The newest `limit` entries of a room's timeline in `since < place <= until`, and the state
    /// at both ends. From memory, if they are new; otherwise one round trip, seldom two.
    ///
    /// `until` must not be beyond what the feed has published.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn stretch(
        &self,
        room: Part,
        since: Option<Place>,
        until: Place,
        limit: u32,
    ) -> Result<Stretch, DataError> {
        let wanted = Wanted { since, until, limit: limit as usize };
        match self.tails().look(self, room, &wanted) {
            Look::Found(stretch) => return Ok(stretch),
            Look::Behind(from) => {
                if let Some(stretch) = self.read_tail(room, &wanted, from).await? {
                    return Ok(stretch);
                }
            }
            Look::TooFar => {}
        }
        self.read_stretch(room, &wanted).await
    }

    /// The newest event of a room, or something later: as long as this stays the same nothing was
    /// appended. `None` if the room was not read lately.
    pub fn newest_event(&self, room: Part) -> Option<StreamPos> {
        self.tails().0.lock().peek(&room).map(|tail| tail.newest)
    }

    async fn read_tail(
        &self,
        room: Part,
        wanted: &Wanted,
        from: Option<StreamPos>,
    ) -> Result<Option<Stretch>, DataError> {
        // What is published now is in what is read then.
        let upto = self.feed().position();
        let mut want = ReadSet::new();
        let after = from.map(Place::after);
        let after = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let none = Bound::<&Place>::Unbounded;
        let newest = want.range::<TimelineRow>(room, after, none, Order::Backward, READ_MAX);
        let before = wanted.since.filter(|_| from.is_none()).map(|since| {
            let since = Bound::Included(&since);
            want.range::<TimelineRow>(room, none, since, Order::Backward, 1)
        });
        let got = want.run(self).await?;
        let newest = got.many(newest)?;
        let read: Vec<_> = newest.rows.iter().map(|(place, row)| (*place, row.value)).collect();
        let before = match before {
            Some(slot) => Some(first_state(&got.many(slot)?.rows)),
            None => None,
        };
        let mut tails = self.tails().0.lock();
        let Some(tail) = tails.get_mut(&room) else { return Ok(None) };
        tail.take_in(&read, newest.more, from, upto);
        if !tail.is_complete(wanted.until) {
            return Ok(None);
        }
        Ok(tail.answer(wanted, before))
    }

    async fn read_stretch(&self, room: Part, wanted: &Wanted) -> Result<Stretch, DataError> {
        let mut want = ReadSet::new();
        let (none, until) = (Bound::<&Place>::Unbounded, Bound::Included(&wanted.until));
        let since = wanted.since.as_ref();
        let limit = u32::try_from(wanted.limit).unwrap_or(u32::MAX);
        let entries = want.range::<TimelineRow>(
            room,
            since.map_or(none, Bound::Excluded),
            until,
            Order::Backward,
            limit,
        );
        let end = want.range::<TimelineRow>(room, none, until, Order::Backward, 1);
        let start = since.map(|since| {
            want.range::<TimelineRow>(room, none, Bound::Included(since), Order::Backward, 1)
        });
        let got = want.run(self).await?;
        let rows = got.many(entries)?.rows;
        Ok(Stretch {
            entries: rows.into_iter().map(|(place, row)| (place, row.value)).collect(),
            state_since: match start {
                Some(slot) => first_state(&got.many(slot)?.rows),
                None => StateRoot::EMPTY,
            },
            state_until: first_state(&got.many(end)?.rows),
        })
    }
}

fn first_state(rows: &[(Place, crate::Found<TimelineEntry>)]) -> StateRoot {
    rows.first().map_or(StateRoot::EMPTY, |(_, entry)| entry.state)
}
