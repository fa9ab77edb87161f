//! What a server is owed, and what of it goes into the next transaction. Pure.

use ruma::RoomId;

use super::rows::{Owed, OwedEvent};

/// Events of one room that are kept for a server. When there are more only the newest is kept: the
/// server asks for those before it, which costs both sides much more than to be sent them.
pub(super) const EVENTS_KEPT_MAX: usize = 2_000;
/// The same for a server that has been away for minutes: the row is written again for each event.
pub(super) const EVENTS_KEPT_AWAY_MAX: usize = 100;
/// Events of one transaction (spec: "Transactions").
pub(super) const PDUS_MAX: usize = 50;
/// EDUs of one transaction (spec).
pub(super) const EDUS_MAX: usize = 100;
/// Bytes of events and EDUs of one transaction, unless a single one has more.
pub(super) const BYTES_MAX: usize = 900_000;

impl Owed {
    pub(super) fn of(room: &RoomId) -> Self {
        Self { room_id: room.to_owned(), events: Vec::new() }
    }

    /// Owe an event, too. Doing it again changes nothing. `most`: events that are kept.
    pub(super) fn add(&mut self, event: OwedEvent, most: usize) {
        if self.events.iter().any(|known| known.no == event.no) {
            return;
        }
        let at = self.events.partition_point(|known| known.place < event.place);
        self.events.insert(at, event);
        if self.events.len() > most {
            self.events.drain(..self.events.len() - 1);
        }
    }

    /// What was sent is owed no longer. `caught_up`: neither is what is older.
    pub(super) fn remove(&mut self, sent: &[OwedEvent], caught_up: bool) {
        let newest = sent.iter().map(|event| event.place).max();
        self.events.retain(|event| {
            let is_sent = sent.iter().any(|sent| sent.no == event.no);
            let is_older = newest.is_some_and(|newest| event.place <= newest);
            !(is_sent || caught_up && is_older)
        });
    }
}

/// The events for the next transaction, oldest first: which room (as index) and which event.
/// `catch_up`: only the newest of each room.
pub(super) fn next_events(rooms: &[Owed], catch_up: bool) -> Vec<(usize, OwedEvent)> {
    let mut events: Vec<_> = rooms
        .iter()
        .enumerate()
        .flat_map(|(room, owed)| {
            let skip = if catch_up { owed.events.len().saturating_sub(1) } else { 0 };
            owed.events.iter().skip(skip).map(move |event| (room, *event))
        })
        .collect();
    events.sort_by_key(|(_, event)| event.place);
    events.truncate(PDUS_MAX);
    events
}

/// How many of these pieces fit into what is left of the bytes; the first one always does, if
/// nothing else is in the transaction.
pub(super) fn fitting(sizes: impl IntoIterator<Item = usize>, used: &mut usize) -> usize {
    let mut count = 0;
    for size in sizes {
        if *used > 0 && *used + size > BYTES_MAX {
            break;
        }
        *used += size;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use blaupause_data::{Place, StreamPos};
    use blaupause_graph::EventNo;
    use ruma::room_id;

    use super::*;

    fn event(pos: u32) -> OwedEvent {
        OwedEvent { place: Place::live(StreamPos(u64::from(pos)), 0), no: EventNo(pos) }
    }

    fn owed(room: &RoomId, events: impl IntoIterator<Item = u32>) -> Owed {
        let mut owed = Owed::of(room);
        events.into_iter().for_each(|pos| owed.add(event(pos), EVENTS_KEPT_AWAY_MAX));
        owed
    }

    #[test]
    fn events_are_owed_once_and_in_order() {
        let owed = owed(room_id!("!a:x"), [3, 1, 3, 2]);
        assert_eq!(owed.events, [event(1), event(2), event(3)]);
    }

    #[test]
    fn too_many_events_become_the_newest() {
        let owed = owed(room_id!("!a:x"), 0..=EVENTS_KEPT_AWAY_MAX as u32);
        assert_eq!(owed.events, [event(EVENTS_KEPT_AWAY_MAX as u32)]);
    }

    #[test]
    fn a_transaction_has_the_oldest_events_of_all_rooms_in_order() {
        let rooms = [owed(room_id!("!a:x"), [1, 4, 5]), owed(room_id!("!b:x"), [2, 3])];
        let next = next_events(&rooms, false);
        let expected = [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5)];
        assert_eq!(next, expected.map(|(room, pos)| (room, event(pos))));
        let many = [owed(room_id!("!a:x"), 0..100)];
        assert_eq!(next_events(&many, false).len(), PDUS_MAX);
    }

    #[test]
    fn after_a_long_silence_each_room_has_its_newest_event() {
        let mut rooms = [owed(room_id!("!a:x"), [1, 4, 5]), owed(room_id!("!b:x"), [2, 3])];
        let next = next_events(&rooms, true);
        assert_eq!(next, [(1, event(3)), (0, event(5))]);
        rooms[0].add(event(9), EVENTS_KEPT_MAX);
        rooms[0].remove(&[event(5)], true);
        assert_eq!(rooms[0].events, [event(9)], "what came meanwhile is still owed");
        rooms[1].remove(&[event(2)], false);
        assert_eq!(rooms[1].events, [event(3)]);
    }

    #[test]
    fn a_transaction_has_a_bounded_size_but_no_event_is_too_large_for_it() {
        let mut used = 0;
        assert_eq!(fitting([BYTES_MAX + 1, 1], &mut used), 1);
        let mut used = 0;
        assert_eq!(fitting([BYTES_MAX / 2; 5], &mut used), 2);
        assert_eq!(fitting([BYTES_MAX / 2], &mut used), 0);
    }
}
