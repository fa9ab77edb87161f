//! Unread counts (spec: client-server API, "Push notifications", "Receiving notifications").

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use blaupause_data::{Change, Event, Place};
use blaupause_graph::StateRoot;
use blaupause_rooms::ReadUpTo;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use crate::{Notify, NotifyError};

/// Users whose counts are kept in memory, and rooms of each (about 200 bytes a room).
const CACHED_USERS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
const CACHED_ROOMS_MAX: usize = 1_000;
/// Newest events that are judged for a user who has not read for long. More are not counted:
/// clients show "99+" long before.
const COUNTED_EVENTS_MAX: u32 = 500;

/// Unread notifications and highlights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub notify: u64,
    pub highlight: u64,
}

/// Counts of a room: outside of threads, and per thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomCounts {
    main: Count,
    threads: HashMap<OwnedEventId, Count>,
}

impl RoomCounts {
    /// The room's count: with `threads` told apart only what is outside of them.
    pub fn room(&self, threads: bool) -> Count {
        let mut count = self.main;
        if !threads {
            for thread in self.threads.values() {
                count.notify += thread.notify;
                count.highlight += thread.highlight;
            }
        }
        count
    }

    /// Threads with something unread, by root.
    pub fn threads(&self) -> impl Iterator<Item = (&OwnedEventId, &Count)> {
        self.threads.iter().filter(|(_, count)| **count != Count::default())
    }

    fn add(&mut self, thread: Option<&OwnedEventId>, highlight: bool) {
        let count = match thread {
            Some(root) => self.threads.entry(root.clone()).or_default(),
            None => &mut self.main,
        };
        count.notify += 1;
        count.highlight += u64::from(highlight);
    }

    /// The user wrote something: what came before it there counts as read.
    fn read(&mut self, thread: Option<&OwnedEventId>) {
        match thread {
            Some(root) => drop(self.threads.remove(root)),
            None => self.main = Count::default(),
        }
    }
}

/// Counts of one user by room, each with the place up to where it counts.
type OfUser = LruCache<OwnedRoomId, (Place, Arc<RoomCounts>)>;

pub(crate) struct CountCache(Mutex<Cached>);

struct Cached {
    users: LruCache<OwnedUserId, OfUser>,
    /// Grows with everything that makes kept counts wrong.
    epoch: u64,
}

impl CountCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Cached { users: LruCache::new(CACHED_USERS_MAX), epoch: 0 }))
    }

    /// New events only add to counts; these change what was counted.
    pub(crate) fn forget_changed(&self, change: &Change) {
        match change {
            Change::Receipt { room, user }
            | Change::Unread { room, user }
            | Change::Membership { room, user, .. } => {
                let mut cached = self.0.lock();
                cached.epoch += 1;
                if let Some(of_user) = cached.users.peek_mut(user) {
                    of_user.pop(room);
                }
            }
            // Rules or ignored users may have changed: every room of the user.
            Change::AccountData { user, room: None } => {
                let mut cached = self.0.lock();
                cached.epoch += 1;
                cached.users.pop(user);
            }
            _ => {}
        }
    }
}

impl Notify {
    /// What a joined user has not read in a room.
    ///
    /// # Errors
    /// The store failed.
    pub async fn counts(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Arc<RoomCounts>, NotifyError> {
        let until = Place::after(self.data().position());
        let (epoch, known) = {
            let mut cached = self.0.counts.0.lock();
            let known = cached.users.get_mut(user).and_then(|rooms| rooms.get(room).cloned());
            (cached.epoch, known)
        };
        let (from, mut counts, read) = match known {
            Some((upto, counts)) if upto >= until => return Ok(counts),
            Some((upto, counts)) => (upto, counts, None),
            None => {
                let read = self.rooms().read_up_to(user, room).await?;
                (read.everywhere, Arc::default(), Some(read))
            }
        };
        let (events, state) = self.events_between(room, from, until).await?;
        if !events.is_empty() {
            let mut sum = (*counts).clone();
            self.count(user, room, (&events, state), read.as_ref(), &mut sum).await?;
            counts = Arc::new(sum);
        }
        let mut cached = self.0.counts.0.lock();
        if cached.epoch == epoch {
            let of_user = cached.users.get_or_insert_mut(user.to_owned(), LruCache::unbounded);
            of_user.put(room.to_owned(), (until, Arc::clone(&counts)));
            if of_user.len() > CACHED_ROOMS_MAX {
                of_user.pop_lru();
            }
        }
        Ok(counts)
    }

    /// The newest events between two places, oldest first, and the room's state after them.
    async fn events_between(
        &self,
        room: &RoomId,
        from: Place,
        until: Place,
    ) -> Result<(Vec<Arc<Event>>, StateRoot), NotifyError> {
        let part = self.data().parts().room(room);
        let stretch = self.data().stretch(part, Some(from), until, COUNTED_EVENTS_MAX).await?;
        let numbers: Vec<_> =
            stretch.entries.iter().rev().map(|(_, entry)| (part, entry.no)).collect();
        let events = self.data().events(&numbers).await?.into_iter().flatten().collect();
        Ok((events, stretch.state_until))
    }

    async fn count(
        &self,
        user: &UserId,
        room: &RoomId,
        (events, state): (&[Arc<Event>], StateRoot),
        read: Option<&ReadUpTo>,
        sum: &mut RoomCounts,
    ) -> Result<(), NotifyError> {
        let Some(judge) = self.judge_in(user, room, state).await? else { return Ok(()) };
        for event in events {
            let thread = thread_of(event);
            if event.sender == user {
                sum.read(thread.as_ref());
                continue;
            }
            let upto = read.and_then(|read| match &thread {
                Some(root) => read.threads.get(root),
                None => Some(&read.main),
            });
            if upto.is_some_and(|upto| event.place.is_some_and(|place| place <= *upto)) {
                continue;
            }
            let judgement = judge.judge(event).await;
            if judgement.notify {
                sum.add(thread.as_ref(), judgement.highlight);
            }
        }
        Ok(())
    }
}

/// The root of the thread that an event is in.
pub(crate) fn thread_of(event: &Event) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: Option<Relation>,
    }
    #[derive(Deserialize)]
    struct Relation {
        rel_type: Option<String>,
        event_id: Option<OwnedEventId>,
    }
    // Most events have no relation: look before parsing.
    if !event.stored.pdu.contains("m.thread") {
        return None;
    }
    let relation = event.content_as::<Content>()?.relates_to?;
    (relation.rel_type.as_deref() == Some("m.thread")).then_some(relation.event_id)?
}
