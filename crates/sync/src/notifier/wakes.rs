//! Who is woken by what. Not on the commit thread: a message in a room with thousands of connected
//! members must not hold up the next batch. What gathers meanwhile wakes everybody once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use blaupause_data::{Change, Data, Member, Passing};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::mpsc;

use super::{Notifier, Slot};

/// News that wait to be told; beyond that who brings news tells them.
const WAITING_MAX: usize = 4_096;
/// News that are told at once.
const TOLD_MAX: usize = 256;

/// Something to wake for.
enum News {
    Committed(Arc<[Change]>),
    Passed(Passing),
}

/// Follow the feed, and start the task that wakes.
pub(super) fn follow(notifier: &Notifier, data: &Data) {
    let (sender, mut news) = mpsc::channel(WAITING_MAX);
    let weak = Arc::downgrade(&notifier.0);
    let tell = Arc::new(move |news: News| {
        let Err(error) = sender.try_send(news) else { return };
        if let Some(inner) = weak.upgrade() {
            Notifier(inner).wake_for(&[error.into_inner()]);
        }
    });
    let passed = Arc::clone(&tell);
    data.feed()
        .follow_visible(Box::new(move |_, changes| tell(News::Committed(Arc::clone(changes)))));
    data.feed().follow_passing(Box::new(move |passing| passed(News::Passed(passing.clone()))));
    let weak = Arc::downgrade(&notifier.0);
    data.env().spawn(async move {
        let mut batch = Vec::new();
        while news.recv_many(&mut batch, TOLD_MAX).await > 0 {
            let Some(inner) = weak.upgrade() else { return };
            Notifier(inner).wake_for(&batch);
            batch.clear();
        }
    });
}

/// Whom some news concern.
#[derive(Default)]
struct Concerned<'a> {
    rooms: HashSet<&'a OwnedRoomId>,
    users: HashSet<&'a OwnedUserId>,
    /// Users whose presence or devices changed: those who share a room with them.
    known_by: HashSet<&'a OwnedUserId>,
}

impl<'a> Concerned<'a> {
    fn add(&mut self, change: &'a Change) {
        match change {
            Change::Event { room, .. }
            | Change::StateWhole { room, .. }
            | Change::Receipt { room, .. }
            | Change::Redacted { room, .. } => drop(self.rooms.insert(room)),
            Change::Membership { user, .. }
            | Change::AccountData { user, .. }
            | Change::ToDevice { user, .. }
            | Change::OneTimeKeys { user, .. }
            | Change::Signed { signer: user, .. }
            | Change::Unread { user, .. } => drop(self.users.insert(user)),
            Change::Devices { user } => {
                self.users.insert(user);
                self.known_by.insert(user);
            }
            Change::Profile { .. }
            | Change::Deactivated { .. }
            | Change::Servers { .. }
            | Change::Owed { .. }
            | Change::Swept { .. }
            | Change::GuestsOut { .. }
            | Change::History { .. } => {}
        }
    }
}

impl Notifier {
    fn wake_for(&self, news: &[News]) {
        let mut concerned = Concerned::default();
        for news in news {
            match news {
                News::Committed(changes) => {
                    for change in changes.iter() {
                        concerned.add(change);
                    }
                }
                News::Passed(Passing::Typing { room }) => drop(concerned.rooms.insert(room)),
                News::Passed(Passing::Presence { user }) => {
                    concerned.known_by.insert(user);
                }
            }
        }
        for user in concerned.users {
            if let Some(slot) = self.slot(user) {
                slot.wake();
            }
        }
        let shared: Vec<_> =
            concerned.known_by.into_iter().flat_map(|user| self.rooms_to_tell(user)).collect();
        self.wake_rooms(concerned.rooms.into_iter().chain(&shared));
    }

    /// Wake everybody who is connected and joined to one of these rooms, each once.
    pub(super) fn wake_rooms<'a>(&self, rooms: impl Iterator<Item = &'a OwnedRoomId>) {
        let mut slots: HashMap<usize, Arc<Slot>> = HashMap::new();
        let mut peeks = Vec::new();
        {
            let state = self.0.state.lock();
            for room in rooms {
                for slot in state.by_room.get(room).into_iter().flatten() {
                    if let Some(slot) = Weak::upgrade(slot.1) {
                        slots.insert(Arc::as_ptr(&slot).addr(), slot);
                    }
                }
                peeks.extend(state.peeks.at(room));
            }
        }
        for peek in peeks {
            peek.wake();
        }
        for slot in slots.into_values() {
            slot.wake();
        }
    }

    /// Rooms in which somebody is known. If they have to be read, that is done elsewhere.
    fn rooms_to_tell(&self, user: &UserId) -> Vec<OwnedRoomId> {
        let known = self.slot(user).and_then(|slot| slot.rooms.lock().known.clone());
        let Some(known) = known else {
            // Full: those concerned learn it at their next wake or time-out.
            drop(self.0.lookups.try_send(user.to_owned()));
            return Vec::new();
        };
        let joined = known.rooms.iter().filter(|room| room.membership == Member::Join);
        joined.map(|room| room.room_id.clone()).collect()
    }
}
