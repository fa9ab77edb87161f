//! Guests stay only where they are admitted (client-server API, "Guest access").

use blaupause_data::{Change, Member, rows::MemberRow, try_together};
use blaupause_graph::Pdu;
use ruma::{RoomId, UserId};

use crate::{
    ChangeMembership, MembershipAction, Rooms, RoomsError, append::Appending,
    membership::admits_guests,
};

/// Members of a room that are looked at to find the guests among them.
const MEMBERS_MAX: u32 = 1_000_000;
/// Accounts that are read at once.
const AT_ONCE_MAX: usize = 500;

impl Appending<'_> {
    /// Note that guests have to leave, if a room closes to them.
    pub(crate) fn note_guests(&mut self, now: &Pdu, before: Option<&Pdu>) {
        if before.is_some_and(admits_guests) && !admits_guests(now) {
            self.write.change(&Change::GuestsOut { room: self.head.room_id.clone() });
        }
    }
}

impl Rooms {
    /// Let the guests of a room leave it, unless it has opened again.
    pub(crate) async fn send_guests_away(&self, room: &RoomId) -> Result<(), RoomsError> {
        let data = self.data();
        let part = data.parts().room(room);
        let mut lane = match self.lane(room).await {
            Err(RoomsError::RoomUnknown) => return Ok(()),
            lane => lane?,
        };
        let is_open = Appending::new(self, lane.room()?).admits_guests().await?;
        drop(lane);
        if is_open {
            return Ok(());
        }
        let joined = Member::Join as u8;
        let members = data.list_all::<MemberRow>(part, &joined, MEMBERS_MAX).await?.rows;
        let ours = members.into_iter().map(|(_, member)| member.value.user_id);
        let ours: Vec<_> = ours.filter(|user| data.is_local(user)).collect();
        for some in ours.chunks(AT_ONCE_MAX) {
            let accounts = some.iter().map(|user| self.accounts().account(user));
            let accounts = data.in_waves(try_together(accounts)).await?;
            let guests = some.iter().zip(accounts);
            let guests = guests.filter(|(_, account)| account.as_ref().is_some_and(|it| it.guest));
            for (guest, _) in guests {
                self.send_away(guest, room).await?;
            }
        }
        Ok(())
    }

    async fn send_away(&self, guest: &UserId, room: &RoomId) -> Result<(), RoomsError> {
        let (room, guest) = (room.to_owned(), guest.to_owned());
        let leave = ChangeMembership::own(room, guest, MembershipAction::Leave);
        match self.change_membership(&leave).await {
            // One that cannot leave must not keep the others.
            Ok(())
            | Err(
                RoomsError::Refused(_)
                | RoomsError::Forbidden(_)
                | RoomsError::NotJoined
                | RoomsError::RoomUnknown,
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
