//! Which rooms of a batch concern the service.

use std::collections::{BTreeSet, HashMap, HashSet};

use blaupause_data::{Change, DataError, StreamPos};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::Gathering;

/// Rooms that occur in a batch.
#[derive(Default)]
pub(super) struct RoomsOfBatch {
    /// Rooms that concern the service before or after the batch: when a room is made, or left, all
    /// of the batch is told.
    concerned: HashSet<OwnedRoomId>,
    /// Users of the service who are the target of a member event.
    targets: HashMap<OwnedRoomId, BTreeSet<OwnedUserId>>,
    /// Rooms in which the service had no user before.
    entered: HashSet<OwnedRoomId>,
}

impl RoomsOfBatch {
    /// Whether everything in the room concerns the service.
    pub(super) fn concern(&self, room: &RoomId) -> bool {
        self.concerned.contains(room)
    }

    /// Whether a user of the service is the target of a member event in the room.
    pub(super) fn has_target(&self, room: &RoomId, user: &UserId) -> bool {
        self.targets.get(room).is_some_and(|users| users.contains(user))
    }

    /// Whether any user of the service is.
    pub(super) fn has_targets(&self, room: &RoomId) -> bool {
        self.targets.contains_key(room)
    }

    /// Whether the first user of the service came to the room.
    pub(super) fn was_entered(&self, room: &RoomId) -> bool {
        self.entered.contains(room)
    }
}

impl Gathering<'_> {
    /// Look at the rooms before the batch and after it.
    pub(super) async fn rooms_of(
        &mut self,
        pos: StreamPos,
        batch: &[(StreamPos, Change)],
    ) -> Result<RoomsOfBatch, DataError> {
        let before = StreamPos(pos.0 - 1);
        let mut rooms = RoomsOfBatch::default();
        let mut had_member = HashMap::new();
        for (_, change) in batch {
            let Some(room) = room_of(change) else { continue };
            if had_member.contains_key(room) {
                continue;
            }
            let had = self.interest.has_member(self.services, self.service, room, before).await?;
            had_member.insert(room.clone(), had);
            if self.interest.has_room(self.services, self.service, room, before).await? {
                rooms.concerned.insert(room.clone());
            }
        }
        for (_, change) in batch {
            let Change::Membership { user, room, membership } = change else { continue };
            if !self.service.has_user(user) {
                continue;
            }
            rooms.targets.entry(room.clone()).or_default().insert(user.clone());
            self.interest.change(room, user, *membership);
        }
        for (room, had) in had_member {
            let has = self.interest.has_member(self.services, self.service, &room, pos).await?;
            if has {
                rooms.concerned.insert(room.clone());
                if !had {
                    rooms.entered.insert(room);
                }
            }
        }
        Ok(rooms)
    }

    /// Read the events that will be looked at, in one read.
    pub(super) async fn prefetch(
        &mut self,
        lines: &[(StreamPos, Change)],
    ) -> Result<(), DataError> {
        let mut touched = HashSet::new();
        for (_, change) in lines {
            if let Change::Membership { user, room, .. } = change
                && self.service.has_user(user)
            {
                touched.insert(room);
            }
        }
        let data = self.services.data();
        let mut wanted = Vec::new();
        for (_, change) in lines {
            if let Change::Event { room, no } = change
                && (touched.contains(room) || !self.interest.is_known_empty(room))
            {
                wanted.push((data.parts().room(room), *no));
            }
        }
        // One event is read where it is looked at; many are here, into the cache of events.
        if wanted.len() > 1 {
            data.events(&wanted).await?;
        }
        Ok(())
    }
}

fn room_of(change: &Change) -> Option<&OwnedRoomId> {
    match change {
        Change::Event { room, .. }
        | Change::Membership { room, .. }
        | Change::Receipt { room, .. } => Some(room),
        _ => None,
    }
}
