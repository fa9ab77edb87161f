//! Who waits for what. A wake carries no data: the woken client looks for itself.
//!
//! Only users who sync have a slot, so that a message costs as much as there are *connected*
//! members, not members. A slot knows its user's joined rooms; the index goes the other way.

mod peeks;
mod wakes;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use blaupause_data::{Change, Data, DataError, Found, Member, StreamPos, rows::UserRoom};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{mpsc, watch};

pub(crate) use peeks::Peek;
use peeks::Peeks;

/// Users who have a slot. Beyond that, those who asked longest ago and do not wait lose theirs.
const SLOTS_MAX: usize = 20_000;
/// Slots that are looked at to find one that nobody waits in.
const EVICTIONS_TRIED_MAX: usize = 8;
/// Places of connected users in rooms that are looked at to find who shares one with somebody.
const CONNECTED_LOOK_MAX: usize = 10_000;
/// Users whose shared rooms still have to be looked up to wake the others there.
const LOOKUPS_MAX: usize = 10_000;

/// A connected user's slot. Several devices of a user share one.
#[derive(Debug)]
pub struct Slot {
    user: OwnedUserId,
    wakes: watch::Sender<u64>,
    rooms: Mutex<SlotRooms>,
}

/// A user's rooms, with any membership, as they were at a moment.
#[derive(Clone, Debug)]
pub(crate) struct RoomsThen {
    pub rooms: Arc<Vec<Found<UserRoom>>>,
    /// The newest position among them.
    newest: StreamPos,
    epoch: u64,
}

impl RoomsThen {
    /// Whether nothing about them has changed up to a position, and nothing in them is newer.
    pub(crate) fn is_of(&self, slot: &Slot, until: StreamPos) -> bool {
        self.newest <= until && self.epoch == slot.rooms.lock().epoch
    }
}

#[derive(Debug, Default)]
struct SlotRooms {
    /// The user's rooms as stored; `None` until read, and again after a membership changed.
    known: Option<RoomsThen>,
    /// Grows when `known` is dropped, so that what was read before is not kept after.
    epoch: u64,
    indexed: HashSet<OwnedRoomId>,
}

/// Waits for the next wake of a slot. Made *before* looking, so that nothing is missed.
#[derive(Debug)]
pub struct Waiter(watch::Receiver<u64>);

impl Waiter {
    /// Resolves at the first wake since the waiter was made or last resolved.
    pub async fn woken(&mut self) {
        // An error would mean that the slot is gone; its holder is the one who waits.
        let _ = self.0.changed().await;
    }
}

impl Slot {
    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// Listen from now on.
    pub fn waiter(&self) -> Waiter {
        let mut receiver = self.wakes.subscribe();
        receiver.mark_unchanged();
        Waiter(receiver)
    }

    fn wake(&self) {
        self.wakes.send_modify(|count| *count += 1);
    }
}

/// All slots and the index from rooms to slots.
#[derive(Clone)]
pub struct Notifier(Arc<Inner>);

struct Inner {
    data: Data,
    state: Mutex<State>,
    lookups: mpsc::Sender<OwnedUserId>,
}

struct State {
    /// Kept a while after the last request: clients come back at once.
    slots: LruCache<OwnedUserId, Arc<Slot>>,
    by_room: HashMap<OwnedRoomId, HashMap<OwnedUserId, Weak<Slot>>>,
    connects: u64,
    peeks: Peeks,
}

impl Notifier {
    /// Follows the feed from now on. Also starts the task that looks up whom a key change of an
    /// unconnected user concerns.
    pub fn new(data: &Data) -> Self {
        let (lookups, mut wanted) = mpsc::channel::<OwnedUserId>(LOOKUPS_MAX);
        let notifier =
            Self(Arc::new(Inner { data: data.clone(), state: Mutex::new(State::new()), lookups }));
        let weak = Arc::downgrade(&notifier.0);
        data.feed().follow(Box::new(move |_, changes| {
            if let Some(inner) = weak.upgrade() {
                Self(inner).forget_changed(changes);
            }
        }));
        wakes::follow(&notifier, data);
        let weak = Arc::downgrade(&notifier.0);
        data.env().spawn(async move {
            while let Some(user) = wanted.recv().await {
                let Some(inner) = weak.upgrade() else { return };
                let rooms = if inner.data.is_local(&user) {
                    inner.data.joined_rooms(&user).await
                } else {
                    // Of users of other servers only the rooms of those who are connected matter.
                    let connected = inner.state.lock().by_room.keys().cloned().collect();
                    inner.data.rooms_with(&user, connected).await
                };
                let Ok(rooms) = rooms else { continue };
                Self(inner).wake_rooms(rooms.iter());
            }
        });
        notifier
    }

    /// The slot of a user, made if there is none.
    pub fn connect(&self, user: &UserId) -> Arc<Slot> {
        let mut state = self.0.state.lock();
        if let Some(slot) = state.slots.get(user) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot {
            user: user.to_owned(),
            wakes: watch::Sender::new(0),
            rooms: Mutex::default(),
        });
        state.connects += 1;
        if state.connects.is_multiple_of(SWEEP_EVERY) {
            state.sweep();
        }
        state.slots.put(user.to_owned(), Arc::clone(&slot));
        state.make_place();
        slot
    }

    /// Listen to a room, whether or not one is in it.
    pub(crate) fn peek(&self, room: &OwnedRoomId) -> Arc<Peek> {
        self.0.state.lock().peeks.of(room)
    }

    /// The rooms of a slot's user, with any membership; read once and kept until one changes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn rooms(&self, slot: &Arc<Slot>) -> Result<RoomsThen, DataError> {
        let epoch = {
            let rooms = slot.rooms.lock();
            if let Some(known) = &rooms.known {
                return Ok(known.clone());
            }
            rooms.epoch
        };
        let found = self.0.data.rooms_of(&slot.user).await?;
        let newest = found.iter().map(|room| room.pos).max().unwrap_or_default();
        let found = RoomsThen { rooms: Arc::new(found), newest, epoch };
        let mut state = self.0.state.lock();
        let mut rooms = slot.rooms.lock();
        let joined: HashSet<_> = found
            .rooms
            .iter()
            .filter(|room| room.membership == Member::Join)
            .map(|room| room.room_id.clone())
            .collect();
        if rooms.epoch == epoch {
            rooms.known = Some(found.clone());
            for room in &joined {
                let slots = state.by_room.entry(room.clone()).or_default();
                slots.insert(slot.user.clone(), Arc::downgrade(slot));
            }
            for gone in rooms.indexed.difference(&joined) {
                if let Some(slots) = state.by_room.get_mut(gone) {
                    slots.remove(&slot.user);
                }
            }
            rooms.indexed = joined;
        }
        Ok(found)
    }

    /// Connected users who are joined to one of these rooms, as far as a bounded look goes.
    pub(crate) fn connected_in(&self, rooms: &HashSet<OwnedRoomId>) -> HashSet<OwnedUserId> {
        let found: HashMap<_, _> = {
            let state = self.0.state.lock();
            let in_rooms = rooms.iter().filter_map(|room| state.by_room.get(room)).flatten();
            let in_rooms = in_rooms.take(CONNECTED_LOOK_MAX);
            in_rooms.map(|(user, slot)| (user.clone(), slot.clone())).collect()
        };
        // The index lags behind a membership that just changed: only what is certain counts.
        let is_certain = |slot: &Weak<Slot>| {
            slot.upgrade().is_some_and(|slot| slot.rooms.lock().known.is_some())
        };
        found.into_iter().filter(|(_, slot)| is_certain(slot)).map(|(user, _)| user).collect()
    }

    /// Whether a user is joined to one of these rooms; `None` if that has to be read.
    pub(crate) fn shares(&self, user: &UserId, rooms: &HashSet<OwnedRoomId>) -> Option<bool> {
        let slot = self.slot(user)?;
        let of_user = slot.rooms.lock();
        of_user.known.as_ref()?;
        Some(of_user.indexed.iter().any(|room| rooms.contains(room)))
    }

    /// Whether [`Notifier::shares`] can tell of a user.
    pub(crate) fn knows_rooms_of(&self, user: &UserId) -> bool {
        self.slot(user).is_some_and(|slot| slot.rooms.lock().known.is_some())
    }

    /// Whose rooms changed is read again: before the change can be seen, so that nobody looks at
    /// a position with the rooms of an earlier one.
    fn forget_changed(&self, changes: &[Change]) {
        for change in changes {
            if let Change::Membership { user, .. } = change
                && let Some(slot) = self.slot(user)
            {
                let mut rooms = slot.rooms.lock();
                rooms.known = None;
                rooms.epoch += 1;
            }
        }
    }

    fn slot(&self, user: &UserId) -> Option<Arc<Slot>> {
        self.0.state.lock().slots.peek(user).cloned()
    }
}

/// Every so many new slots, forget what the index says of those that are gone.
const SWEEP_EVERY: u64 = 1_024;

impl State {
    fn new() -> Self {
        Self {
            slots: LruCache::unbounded(),
            by_room: HashMap::new(),
            connects: 0,
            peeks: Peeks::default(),
        }
    }

    /// Forget who asked longest ago, but nobody who waits: their wakes would be lost.
    fn make_place(&mut self) {
        for _ in 0..EVICTIONS_TRIED_MAX {
            if self.slots.len() <= SLOTS_MAX {
                return;
            }
            let Some((user, slot)) = self.slots.pop_lru() else { return };
            if Arc::strong_count(&slot) > 1 {
                self.slots.put(user, slot);
            }
        }
    }

    fn sweep(&mut self) {
        self.by_room.retain(|_, slots| {
            slots.retain(|_, slot| slot.strong_count() > 0);
            !slots.is_empty()
        });
    }
}
