//! `GET /room_summary/{roomIdOrAlias}`: a room in a few words, for those who may know of it.

use blaupause_data::{Data, DataError, Member};
use ruma::{
    OwnedRoomId, RoomId, UserId,
    room::{JoinRuleSummary, RoomSummary},
};

use crate::{Rooms, RoomsError};

/// A room in a few words.
#[derive(Debug)]
pub struct Summary {
    pub summary: RoomSummary,
    /// The asking person's membership.
    pub membership: Option<Member>,
}

/// What decides whether somebody may know of rooms: their own memberships.
pub(crate) struct Memberships(std::collections::HashMap<OwnedRoomId, Member>);

impl Memberships {
    /// All memberships of a local user; none for somebody without an account. One round trip.
    pub(crate) async fn of(data: &Data, user: Option<&UserId>) -> Result<Self, DataError> {
        let rooms = match user {
            Some(user) => data.rooms_of(user).await?,
            None => Vec::new(),
        };
        Ok(Self(rooms.into_iter().map(|row| (row.value.room_id, row.value.membership)).collect()))
    }

    pub(crate) fn of_room(&self, room: &RoomId) -> Option<Member> {
        self.0.get(room).copied()
    }

    /// Whether the person may know of a room: who is in it or invited, and everybody if the room
    /// can be entered or read without that (client-server API, "Room summary"; server-server API,
    /// `GET /hierarchy`).
    pub(crate) fn may_know(&self, summary: &RoomSummary) -> bool {
        let joined = |room: &OwnedRoomId| self.of_room(room) == Some(Member::Join);
        let member = self.of_room(&summary.room_id);
        let open = match &summary.join_rule {
            JoinRuleSummary::Public
            | JoinRuleSummary::Knock
            | JoinRuleSummary::KnockRestricted(_) => true,
            JoinRuleSummary::Restricted(restricted) => {
                restricted.allowed_room_ids.iter().any(joined)
            }
            _ => false,
        };
        let involved = matches!(member, Some(Member::Join | Member::Invite | Member::Knock));
        (open && member != Some(Member::Ban)) || summary.world_readable || involved
    }
}

impl Rooms {
    /// A room in a few words. `user` is `None` for somebody without an account.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if there is no such room, or none that the person may know of.
    pub async fn summary(
        &self,
        user: Option<&UserId>,
        room: &RoomId,
    ) -> Result<Summary, RoomsError> {
        let memberships = Memberships::of(self.data(), user).await?;
        let mut summaries = self.summaries(&[room.to_owned()]).await?;
        let summary = summaries.pop().flatten().filter(|summary| memberships.may_know(summary));
        let summary = summary.ok_or(RoomsError::NotFound("room"))?;
        Ok(Summary { summary, membership: memberships.of_room(room) })
    }
}
