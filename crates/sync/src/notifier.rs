//! Who waits for what. A wake carries no data: the woken client looks for itself.
//!
//! Only users who sync have a slot, so that a message costs as much as there are *connected*
//! members, not members. A slot knows its user's joined rooms; the index goes the other way.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Weak},
};

use blaupause_data::{Change, Data, DataError, Found, Member, Passing, rows::UserRoom};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{mpsc, watch};

/// Users who have a slot; the one who asked longest ago goes first.
const SLOTS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
/// Users whose shared rooms still have to be looked up to wake the others there.
const LOOKUPS_MAX: usize = 10_000;

/// A connected user's slot. Several devices of a user share one.
#[derive(Debug)]
pub struct Slot {
    user: OwnedUserId,
    wakes: watch::Sender<u64>,
    rooms: Mutex<SlotRooms>,
}

#[derive(Debug, Default)]
struct SlotRooms {
    /// The user's rooms as stored; `None` until read, and again after a membership changed.
    known: Option<Arc<Vec<Found<UserRoom>>>>,
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
                Self(inner).committed(changes);
            }
        }));
        let weak = Arc::downgrade(&notifier.0);
        data.feed().follow_passing(Box::new(move |passing| {
            if let Some(inner) = weak.upgrade() {
                Self(inner).passed(passing);
            }
        }));
        let weak = Arc::downgrade(&notifier.0);
        data.env().spawn(async move {
            while let Some(user) = wanted.recv().await {
                let Some(inner) = weak.upgrade() else { return };
                let Ok(rooms) = inner.data.joined_rooms(&user).await else { continue };
                let notifier = Self(inner);
                for room in rooms {
                    notifier.wake_room(&room);
                }
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
        slot
    }

    /// The rooms of a slot's user, with any membership; read once and kept until one changes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rooms(&self, slot: &Arc<Slot>) -> Result<Arc<Vec<Found<UserRoom>>>, DataError> {
        let epoch = {
            let rooms = slot.rooms.lock();
            if let Some(known) = &rooms.known {
                return Ok(Arc::clone(known));
            }
            rooms.epoch
        };
        let found = Arc::new(self.0.data.rooms_of(&slot.user).await?);
        let mut state = self.0.state.lock();
        let mut rooms = slot.rooms.lock();
        let joined: HashSet<_> = found
            .iter()
            .filter(|room| room.membership == Member::Join)
            .map(|room| room.room_id.clone())
            .collect();
        if rooms.epoch == epoch {
            rooms.known = Some(Arc::clone(&found));
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

    fn committed(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Event { room, .. }
                | Change::Receipt { room, .. }
                | Change::Redacted { room, .. } => self.wake_room(room),
                Change::Membership { user, .. } => self.membership_changed(user),
                Change::AccountData { user, .. }
                | Change::ToDevice { user, .. }
                | Change::OneTimeKeys { user, .. }
                | Change::Unread { user, .. } => self.wake_user(user),
                Change::Devices { user } => {
                    self.wake_user(user);
                    self.wake_those_who_share_rooms(user);
                }
                Change::Profile { .. } | Change::Deactivated { .. } => {}
            }
        }
    }

    fn passed(&self, passing: &Passing) {
        match passing {
            Passing::Typing { room } => self.wake_room(room),
            Passing::Presence { user } => self.wake_those_who_share_rooms(user),
        }
    }

    fn slot(&self, user: &UserId) -> Option<Arc<Slot>> {
        self.0.state.lock().slots.peek(user).cloned()
    }

    fn wake_user(&self, user: &UserId) {
        if let Some(slot) = self.slot(user) {
            slot.wake();
        }
    }

    fn wake_room(&self, room: &OwnedRoomId) {
        let slots: Vec<_> = {
            let state = self.0.state.lock();
            let Some(slots) = state.by_room.get(room) else { return };
            slots.values().filter_map(Weak::upgrade).collect()
        };
        for slot in slots {
            slot.wake();
        }
    }

    fn membership_changed(&self, user: &UserId) {
        if let Some(slot) = self.slot(user) {
            {
                let mut rooms = slot.rooms.lock();
                rooms.known = None;
                rooms.epoch += 1;
            }
            slot.wake();
        }
    }

    fn wake_those_who_share_rooms(&self, user: &UserId) {
        let known = self.slot(user).and_then(|slot| slot.rooms.lock().known.clone());
        match known {
            Some(rooms) => {
                for room in rooms.iter().filter(|room| room.membership == Member::Join) {
                    self.wake_room(&room.room_id);
                }
            }
            // Full: those concerned learn it at their next wake or time-out.
            None => drop(self.0.lookups.try_send(user.to_owned())),
        }
    }
}

/// Every so many new slots, forget what the index says of those that are gone.
const SWEEP_EVERY: u64 = 1_024;

impl State {
    fn new() -> Self {
        Self { slots: LruCache::new(SLOTS_MAX), by_room: HashMap::new(), connects: 0 }
    }

    fn sweep(&mut self) {
        self.by_room.retain(|_, slots| {
            slots.retain(|_, slot| slot.strong_count() > 0);
            !slots.is_empty()
        });
    }
}
