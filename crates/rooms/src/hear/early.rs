//! Receipts that come before the events they are for: both may be in one transaction, and an event
//! takes longer. They wait in memory for a moment.

use std::collections::{BTreeMap, HashMap};

use blaupause_data::Change;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, api::federation::transactions::edu::ReceiptData};

use crate::{Rooms, RoomsError};

/// Receipts that wait; further ones are passed over.
const WAITING_MAX: usize = 10_000;
/// How long a receipt waits for its event.
const WAIT_MS: u64 = 2 * 60 * 1_000;

/// What waits in one room, and since when: one receipt of each user.
type OfRoom = BTreeMap<OwnedUserId, (u64, ReceiptData)>;

#[derive(Debug, Default)]
pub(crate) struct EarlyReceipts(Mutex<Early>);

#[derive(Debug, Default)]
struct Early {
    rooms: HashMap<OwnedRoomId, OfRoom>,
    count: usize,
}

impl EarlyReceipts {
    /// Keep receipts for later; those that wait already stay as old as they are.
    pub(super) fn keep(
        &self,
        room: &RoomId,
        receipts: BTreeMap<OwnedUserId, ReceiptData>,
        now_ms: u64,
    ) {
        let mut early = self.0.lock();
        for (user, data) in receipts {
            if early.count >= WAITING_MAX {
                early.drop_old(now_ms);
                if early.count >= WAITING_MAX {
                    return;
                }
            }
            let of_room = early.rooms.entry(room.to_owned()).or_default();
            early.count += usize::from(of_room.insert(user, (now_ms, data)).is_none());
        }
    }

    /// What waits in a room waits no longer.
    fn take(&self, room: &RoomId) -> Option<OfRoom> {
        let mut early = self.0.lock();
        let of_room = early.rooms.remove(room)?;
        early.count -= of_room.len();
        Some(of_room)
    }

    /// Rooms among those that changed in which something waits.
    pub(crate) fn touched(&self, changes: &[Change]) -> Vec<OwnedRoomId> {
        let early = self.0.lock();
        if early.rooms.is_empty() {
            return Vec::new();
        }
        let rooms = changes.iter().filter_map(|change| match change {
            Change::Event { room, .. } if early.rooms.contains_key(room) => Some(room.clone()),
            _ => None,
        });
        rooms.collect()
    }
}

impl Early {
    fn drop_old(&mut self, now_ms: u64) {
        self.rooms.retain(|_, of_room| {
            of_room.retain(|_, (since, _)| now_ms < *since + WAIT_MS);
            !of_room.is_empty()
        });
        self.count = self.rooms.values().map(BTreeMap::len).sum();
    }
}

impl Rooms {
    /// Something happened in a room in which receipts wait.
    pub(crate) async fn look_again_for_receipts(&self, room: &RoomId) {
        let Some(waited) = self.early_receipts().take(room) else { return };
        let now_ms = self.data().env().now_millis();
        let fresh = waited.into_iter().filter(|(_, (since, _))| now_ms < since + WAIT_MS);
        let (since, said): (BTreeMap<_, _>, BTreeMap<_, _>) =
            fresh.map(|(user, (since, data))| ((user.clone(), since), (user, data))).unzip();
        let oldest = since.into_values().min().unwrap_or(now_ms);
        match self.take_receipts(room, said).await {
            Ok(early) => self.early_receipts().keep(room, early, oldest),
            Err(RoomsError::Data(error)) => tracing::warn!(%error, "receipts cannot be stored"),
            Err(error) => tracing::debug!(%error, "receipts were passed over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id};
    use serde_json::json;

    use super::*;

    fn said(user: &str) -> BTreeMap<OwnedUserId, ReceiptData> {
        let data = json!({ "data": { "ts": 1 }, "event_ids": ["$e"] });
        let data = serde_json::from_value(data).expect("a receipt");
        BTreeMap::from([(user.try_into().expect("an id"), data)])
    }

    #[test]
    fn receipts_wait_for_a_while_and_not_without_limit() {
        let (early, room) = (EarlyReceipts::default(), owned_room_id!("!r:x"));
        let event = |room: &OwnedRoomId| {
            [Change::Event { room: room.clone(), no: blaupause_graph::EventNo(1) }]
        };
        for number in 0..WAITING_MAX + 5 {
            early.keep(&room, said(&format!("@u{number}:x")), 1_000);
        }
        assert_eq!(early.0.lock().count, WAITING_MAX);
        assert!(early.touched(&event(&owned_room_id!("!other:x"))).is_empty());
        let late = 1_000 + WAIT_MS;
        early.keep(&room, said("@late:x"), late);
        assert_eq!(early.0.lock().count, 1, "the old ones waited in vain");
        assert!(early.touched(&event(&room)).contains(&room));
        let taken = early.take(&room).expect("one waits");
        assert_eq!(taken.keys().next(), Some(&owned_user_id!("@late:x")));
        assert!(early.touched(&event(&room)).is_empty());
        assert_eq!(early.0.lock().count, 0);
    }
}
