//! The rows of people here who are invited to rooms that this server is not in, or knock there.

use blaupause_data::{
    Change, Data, Member, Part, Place, Write,
    rows::{EventRow, StoredEvent, UserRoom, UserRoomRow},
};
use blaupause_graph::{EventNo, Pdu, StateRoot};
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    Rooms, RoomsError,
    rows::{Outside, OutsideRow},
};

/// What somebody is to a room that this server is not in.
pub(super) struct NewOutside {
    pub room: OwnedRoomId,
    pub user: OwnedUserId,
    pub membership: Member,
    /// Who sent the member event.
    pub sender: OwnedUserId,
    /// Stripped state, JSON; where it has ended, the event with which it did.
    pub stripped: Vec<String>,
    /// Where it comes from; `None` when it has ended.
    pub from: Option<Outside>,
    /// The event of which people and application services are told.
    pub told: Option<Pdu>,
}

/// Numbers of events in rooms that this server is not in: from the end, where no room gets, so that
/// a room that comes to us later does not meet them.
const OUTSIDE_NUMBERS: u32 = 1 << 24;

/// The number of an invitation. An event never changes, so each has its own (two of one room could
/// share one in theory: then somebody is told of the other).
fn outside_no(data: &Data, event: &EventId) -> EventNo {
    let [a, b, c, ..] = data.parts().hash16(event.as_str());
    EventNo(u32::MAX - u32::from_be_bytes([0, a, b, c]) % OUTSIDE_NUMBERS)
}

impl Rooms {
    /// Where an invitation or knock comes from.
    pub(super) async fn outside(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Option<Outside>, RoomsError> {
        let parts = self.data().parts();
        let row = self.data().get::<OutsideRow>(parts.user(user), &parts.room(room)).await?;
        Ok(row.map(|row| row.value).filter(|row| row.room_id == room))
    }

    /// The number of the event that invites somebody to a room that this server is not in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn invitation_from_outside(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Option<EventNo>, RoomsError> {
        let outside = self.outside(user, room).await?;
        Ok(outside.map(|outside| outside_no(self.data(), &outside.event_id)))
    }

    /// The person is in the room now: what it came from no longer matters.
    pub(super) async fn forget_outside(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        if self.outside(user, room).await?.is_some() {
            let (home, part) = (self.data().parts().user(user), self.data().parts().room(room));
            let mut write = Write::new(part);
            write.del::<OutsideRow>(home, &part);
            self.data().commit(write).await?;
        }
        Ok(())
    }

    /// Let somebody see that they are invited, that they knocked, or that it has ended. Durable
    /// when this returns. Does nothing if somebody else changed it meanwhile: `expect` is asked
    /// about the row as it is.
    pub(super) async fn write_outside(
        &self,
        new: NewOutside,
        expect: impl FnOnce(Option<Member>) -> bool,
    ) -> Result<(), RoomsError> {
        self.write_outside_with(new, expect, |_| {}).await
    }

    /// The same, with something else in the batch.
    pub(super) async fn write_outside_with(
        &self,
        new: NewOutside,
        expect: impl FnOnce(Option<Member>) -> bool,
        more: impl FnOnce(&mut Write),
    ) -> Result<(), RoomsError> {
        let parts = self.data().parts();
        let (home, part) = (parts.user(&new.user), parts.room(&new.room));
        // The row belongs to the room, so it changes in the room's lane.
        let lane = self.lanes().enter(part).await;
        let old = self.data().membership(&new.user, &new.room).await?;
        let old = old.map(|row| row.value).filter(|row| row.room_id == new.room);
        if !expect(old.as_ref().map(|row| row.membership)) {
            return Ok(());
        }
        let before = self.outside(&new.user, &new.room).await?;
        // Where the user was in the room once, their history ends with that event.
        let left = before
            .as_ref()
            .and_then(|row| row.left)
            .or_else(|| old.as_ref().and_then(|row| row.no));
        let mut write = Write::new(part);
        let key = part;
        let ended = new.from.is_none();
        // The same invitation once more is no news.
        let same = |told: &Pdu| before.as_ref().is_some_and(|row| row.event_id == told.event_id());
        let told = new.told.filter(|told| !same(told));
        if let (Some(before), true) = (&before, ended || told.is_some()) {
            write.del::<EventRow>(part, &outside_no(self.data(), &before.event_id));
        }
        if let Some(told) = &told {
            self.write_told(&mut write, part, told);
        }
        match new.from {
            Some(from) => write.put::<OutsideRow>(home, &key, &Outside { left, ..from }),
            None => write.del::<OutsideRow>(home, &key),
        }
        let row = UserRoom {
            room_id: new.room.clone(),
            membership: new.membership,
            entered: None,
            no: left.filter(|_| ended),
            sender: new.sender,
            forgotten: false,
            was_joined: old.is_some_and(|old| old.was_joined),
            stripped: new.stripped,
        };
        write.put::<UserRoomRow>(home, &key, &row);
        let (user, room, membership) = (new.user, new.room, new.membership);
        write.change(&Change::Membership { user, room, membership });
        more(&mut write);
        self.data().commit(write).await?;
        drop(lane);
        Ok(())
    }

    /// The event alone, outside of any history.
    fn write_told(&self, write: &mut Write, part: Part, told: &Pdu) {
        let no = outside_no(self.data(), told.event_id());
        let stored = StoredEvent {
            event_id: told.event_id().to_owned(),
            place: Some(Place::now(0)),
            state_before: StateRoot::EMPTY,
            state_after: StateRoot::EMPTY,
            auth: Vec::new(),
            prev: Vec::new(),
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            replaces: None,
            pdu: told.json().to_owned(),
        };
        write.put::<EventRow>(part, &no, &stored);
        write.change(&Change::Event { room: told.room_id().to_owned(), no });
    }
}
