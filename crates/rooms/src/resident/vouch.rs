//! Joins that this server vouches for: rooms that let in the members of other rooms
//! (server-server API, "Restricted rooms").

use blaupause_data::{
    Member, ReadSet,
    rows::{HeadRow, MemberRow, RoomServerRow},
};
use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{RoomsError, append::Appending};

/// What this server can tell about somebody's right to come in.
enum Entitled {
    Yes,
    No,
    /// This server is not in all of the rooms that would give the right.
    CannotTell,
}

impl Appending<'_> {
    /// Who of this server vouches for the join of another server's user, if the room's rule needs
    /// that.
    pub(super) async fn voucher_for(
        &mut self,
        user: &UserId,
    ) -> Result<Option<OwnedUserId>, RoomsError> {
        let Some(rooms) = self.allowed_rooms().await? else { return Ok(None) };
        self.must_be_entitled(user, &rooms).await?;
        match self.local_inviter().await? {
            Some(by) => Ok(Some(by)),
            None => Err(RoomsError::CannotGrantJoin),
        }
    }

    /// Whether this server may sign that somebody comes in: they are in one of the rooms, or have
    /// been invited, or are in already.
    pub(super) async fn must_vouch_for(&mut self, user: &UserId) -> Result<(), RoomsError> {
        if matches!(self.membership(user).await?, Some(Member::Join | Member::Invite)) {
            return Ok(());
        }
        match self.allowed_rooms().await? {
            Some(rooms) => self.must_be_entitled(user, &rooms).await,
            // Nobody has to vouch here, so nobody does.
            None => Err(RoomsError::Forbidden("this room asks nobody to vouch for a join")),
        }
    }

    async fn must_be_entitled(
        &self,
        user: &UserId,
        rooms: &[OwnedRoomId],
    ) -> Result<(), RoomsError> {
        match self.entitled(user, rooms).await? {
            Entitled::Yes => Ok(()),
            Entitled::No => Err(RoomsError::Forbidden(
                "you are in none of the rooms whose members may join this one",
            )),
            Entitled::CannotTell => Err(RoomsError::CannotAuthoriseJoin),
        }
    }

    async fn entitled(&self, user: &UserId, rooms: &[OwnedRoomId]) -> Result<Entitled, RoomsError> {
        let data = self.rooms.data();
        let (own, member) = (data.server_name().to_owned(), data.parts().user(user));
        let mut want = ReadSet::new();
        let slots: Vec<_> = rooms
            .iter()
            .map(|room| {
                let part = data.parts().room(room);
                let head = want.get::<HeadRow>(part, &());
                let we = want.get::<RoomServerRow>(part, &own);
                let they = want.get::<MemberRow>(part, &(Member::Join as u8, member));
                (room, head, we, they)
            })
            .collect();
        let got = want.run(data).await?;
        let mut answer = Entitled::No;
        for (room, head, we, they) in slots {
            let knows = got.one(head)?.is_some_and(|head| head.room_id == *room);
            // What was known when the last of our users left may long be wrong.
            let is_found = got.one(they)?.is_some_and(|row| row.user_id == user);
            if !knows || got.one(we)?.is_none() {
                answer = Entitled::CannotTell;
            } else if is_found {
                return Ok(Entitled::Yes);
            } else if self.rooms.partial_rooms().is_partial(room) {
                answer = Entitled::CannotTell;
            }
        }
        Ok(answer)
    }
}
