//! Who is typing: in memory only, forgotten after a while.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use blaupause_data::Passing;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{Rooms, RoomsError, read::RoomAccess};

/// Longest time for which one request says that somebody types.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// Shortest time, so that others see it at all.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// People who are shown as typing in one room at once; more are not noted.
const TYPISTS_MAX: usize = 200;
/// How often expired entries are looked for while somebody types.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Rooms with somebody typing, and until when (milliseconds since the Unix epoch).
#[derive(Debug, Default)]
pub(crate) struct Typing {
    rooms: Mutex<HashMap<OwnedRoomId, BTreeMap<OwnedUserId, u64>>>,
    sweeping: AtomicBool,
}

impl Typing {
    /// Returns whether the set of typing people changed.
    fn set(&self, room: &RoomId, user: &UserId, until_ms: Option<u64>) -> bool {
        let mut rooms = self.rooms.lock();
        let Some(until_ms) = until_ms else {
            let Some(typists) = rooms.get_mut(room) else { return false };
            let was = typists.remove(user).is_some();
            if typists.is_empty() {
                rooms.remove(room);
            }
            return was;
        };
        let typists = rooms.entry(room.to_owned()).or_default();
        if typists.len() >= TYPISTS_MAX && !typists.contains_key(user) {
            return false;
        }
        typists.insert(user.to_owned(), until_ms).is_none()
    }

    /// Forget who has not said for long that they still type. Returns the rooms that changed, and
    /// whether anybody is left.
    fn expire(&self, now_ms: u64) -> (Vec<OwnedRoomId>, bool) {
        let mut rooms = self.rooms.lock();
        let mut changed = Vec::new();
        rooms.retain(|room, typists| {
            let before = typists.len();
            typists.retain(|_, until_ms| *until_ms > now_ms);
            if typists.len() != before {
                changed.push(room.clone());
            }
            !typists.is_empty()
        });
        (changed, !rooms.is_empty())
    }
}

impl RoomAccess {
    /// The reader types, for a time (cut to 1 s…120 s), or stopped (`None`).
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`]: only members are seen typing.
    pub fn set_typing(&self, timeout: Option<Duration>) -> Result<(), RoomsError> {
        self.must_be_joined()?;
        self.rooms.note_typing(&self.reader.user, &self.room, timeout);
        Ok(())
    }
}

impl Rooms {
    /// Somebody types, as [`RoomAccess::set_typing`]. Reads nothing if it is known that they are
    /// joined.
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`]: only members are seen typing.
    pub async fn set_typing(
        &self,
        user: &UserId,
        room: &RoomId,
        timeout: Option<Duration>,
    ) -> Result<(), RoomsError> {
        if !self.is_joined(user, room).await? {
            return Err(RoomsError::NotJoined);
        }
        self.note_typing(user, room, timeout);
        Ok(())
    }

    pub(crate) fn note_typing(&self, user: &UserId, room: &RoomId, timeout: Option<Duration>) {
        let data = self.data();
        let until_ms = timeout.map(|timeout| {
            let timeout = timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
            data.env().now_millis() + u64::try_from(timeout.as_millis()).unwrap_or(0)
        });
        if self.typists().set(room, user, until_ms) {
            data.feed().pass(&Passing::Typing { room: room.to_owned() });
        }
        if until_ms.is_some() {
            self.sweep_typing();
        }
    }

    /// Who is typing in a room, in order of their ids.
    pub fn typing(&self, room: &RoomId) -> Vec<OwnedUserId> {
        let now_ms = self.data().env().now_millis();
        let rooms = self.typists().rooms.lock();
        let typists = rooms.get(room).into_iter().flatten();
        typists.filter(|(_, until_ms)| **until_ms > now_ms).map(|(user, _)| user.clone()).collect()
    }

    /// Somebody left a room, or was removed: nobody sees them type any more.
    pub(crate) fn stop_typing(&self, room: &RoomId, user: &UserId) {
        if self.typists().set(room, user, None) {
            self.data().feed().pass(&Passing::Typing { room: room.to_owned() });
        }
    }

    /// Forget who stopped without saying so, and tell the others. Returns whether anybody is
    /// left.
    pub(crate) fn expire_typing(&self) -> bool {
        let (changed, left) = self.typists().expire(self.data().env().now_millis());
        for room in changed {
            self.data().feed().pass(&Passing::Typing { room });
        }
        left
    }

    /// One task looks after all rooms while anybody types.
    fn sweep_typing(&self) {
        if self.typists().sweeping.swap(true, Ordering::SeqCst) {
            return;
        }
        let rooms = self.clone();
        let stop = self.data().env().stop().clone();
        self.data().env().spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(SWEEP_EVERY) => {}
                }
                if !rooms.expire_typing() {
                    rooms.typists().sweeping.store(false, Ordering::SeqCst);
                    // Somebody may have begun between the look and the line above.
                    if rooms.typists().rooms.lock().is_empty()
                        || rooms.typists().sweeping.swap(true, Ordering::SeqCst)
                    {
                        return;
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[test]
    fn only_a_change_of_the_set_is_news() {
        let typing = Typing::default();
        let (room, alice) = (room_id!("!a:x"), user_id!("@alice:x"));
        assert!(typing.set(room, alice, Some(10)));
        assert!(!typing.set(room, alice, Some(20)));
        assert!(typing.set(room, alice, None));
        assert!(!typing.set(room, alice, None));
        assert!(typing.rooms.lock().is_empty());
    }

    #[test]
    fn typing_ends_by_itself() {
        let typing = Typing::default();
        let (room, alice, bob) = (room_id!("!a:x"), user_id!("@alice:x"), user_id!("@bob:x"));
        typing.set(room, alice, Some(10));
        typing.set(room, bob, Some(20));
        assert_eq!(typing.expire(9), (vec![], true));
        assert_eq!(typing.expire(10), (vec![room.to_owned()], true));
        assert_eq!(typing.expire(20), (vec![room.to_owned()], false));
    }

    #[test]
    fn a_room_shows_a_bounded_number_of_typists() {
        let typing = Typing::default();
        let room = room_id!("!a:x");
        for n in 0..TYPISTS_MAX + 5 {
            let user = OwnedUserId::try_from(format!("@u{n}:x")).expect("valid");
            assert_eq!(typing.set(room, &user, Some(10)), n < TYPISTS_MAX);
        }
    }
}
