//! Who is in which room.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    Data, DataError, Found, Member,
    rows::{MemberRow, RoomMember, UserRoom, UserRoomRow},
};

/// Members of one room, with one membership, that are told of.
const MEMBERS_MAX: u32 = 1_000_000;
/// Rooms of one user that are told of.
const USER_ROOMS_MAX: u32 = 100_000;

impl Data {
    /// Members of a room with the given membership. A room may have 100,000: a round trip for each
    /// 40,000 of them or so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn members(
        &self,
        room: &RoomId,
        membership: Member,
    ) -> Result<Vec<RoomMember>, DataError> {
        let part = self.parts().room(room);
        let page = self.list_all::<MemberRow>(part, &(membership as u8), MEMBERS_MAX).await?;
        Ok(page.rows.into_iter().map(|(_, row)| row.value).collect())
    }

    /// The rooms of a local user, with any membership, forgotten ones too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rooms_of(&self, user: &UserId) -> Result<Vec<Found<UserRoom>>, DataError> {
        let part = self.parts().user(user);
        let page = self.list_all::<UserRoomRow>(part, &(), USER_ROOMS_MAX).await?;
        Ok(page.rows.into_iter().map(|(_, row)| row).collect())
    }

    /// A local user's place in a room; `None` if there never was one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn membership(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Option<Found<UserRoom>>, DataError> {
        self.get::<UserRoomRow>(self.parts().user(user), &self.parts().room(room)).await
    }

    /// The rooms a local user is joined to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, DataError> {
        let rooms = self.rooms_of(user).await?.into_iter();
        Ok(rooms
            .filter(|room| room.membership == Member::Join)
            .map(|room| room.value.room_id)
            .collect())
    }

    /// Everybody who is joined to one of the given rooms, each once, in order of their ids.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn joined_members_of(
        &self,
        rooms: &[OwnedRoomId],
    ) -> Result<Vec<OwnedUserId>, DataError> {
        let join = Member::Join as u8;
        let lists: Vec<_> = rooms.iter().map(|room| (self.parts().room(room), &join)).collect();
        let pages = self.lists_all::<MemberRow, _>(&lists, MEMBERS_MAX).await?;
        let mut users = Vec::new();
        for page in pages {
            users.extend(page.rows.into_iter().map(|(_, row)| row.value.user_id));
        }
        users.sort();
        users.dedup();
        Ok(users)
    }
}
