//! Who listens to a room without being in it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use ruma::OwnedRoomId;
use tokio::sync::watch;

use super::Waiter;

/// Rooms that may be listened to before those that nobody listens to any more are forgotten.
const SWEEP_FROM: usize = 64;

/// A room that somebody listens to.
#[derive(Debug)]
pub(crate) struct Peek(watch::Sender<u64>);

impl Peek {
    /// Listen from now on.
    pub(crate) fn waiter(&self) -> Waiter {
        let mut receiver = self.0.subscribe();
        receiver.mark_unchanged();
        Waiter(receiver)
    }

    pub(super) fn wake(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Rooms that somebody listens to; they are there as long as somebody does.
#[derive(Debug, Default)]
pub(super) struct Peeks(HashMap<OwnedRoomId, Weak<Peek>>);

impl Peeks {
    pub(super) fn at(&self, room: &OwnedRoomId) -> Option<Arc<Peek>> {
        self.0.get(room).and_then(Weak::upgrade)
    }

    /// The room's, made if nobody listens to it yet.
    pub(super) fn of(&mut self, room: &OwnedRoomId) -> Arc<Peek> {
        if let Some(peek) = self.at(room) {
            return peek;
        }
        if self.0.len() >= SWEEP_FROM && self.0.len().is_power_of_two() {
            self.0.retain(|_, peek| peek.strong_count() > 0);
        }
        let peek = Arc::new(Peek(watch::Sender::new(0)));
        self.0.insert(room.clone(), Arc::downgrade(&peek));
        peek
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_room_id;

    use super::*;

    #[test]
    fn rooms_that_nobody_listens_to_are_forgotten() {
        let mut peeks = Peeks::default();
        let kept = peeks.of(&owned_room_id!("!kept:example.org"));
        for number in 0..10_000 {
            let room = OwnedRoomId::try_from(format!("!{number}:example.org")).expect("an id");
            drop(peeks.of(&room));
        }
        assert!(peeks.0.len() <= 2 * SWEEP_FROM, "{}", peeks.0.len());
        let again = peeks.of(&owned_room_id!("!kept:example.org"));
        assert!(Arc::ptr_eq(&kept, &again));
    }
}
