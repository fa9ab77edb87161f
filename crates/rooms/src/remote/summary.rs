//! A room in a few words that this server is not in, as another server tells it.

use ruma::{OwnedServerName, RoomId, UserId, api::federation::space::get_hierarchy::v1::Request};

use super::{step_limits, via::Tries};
use crate::{Rooms, RoomsError, Summary, read::Memberships};

impl Rooms {
    /// A room in a few words; other servers are asked if this one is not in it. `user` is `None`
    /// for somebody without an account: nobody is asked for them.
    ///
    /// # Errors
    /// As [`Rooms::summary`].
    pub async fn summary_via(
        &self,
        user: Option<&UserId>,
        room: &RoomId,
        via: &[OwnedServerName],
    ) -> Result<Summary, RoomsError> {
        let (Some(user), true) = (user, self.is_outside(room).await?) else {
            return self.summary(user, room).await;
        };
        let memberships = Memberships::of(self.data(), Some(user)).await?;
        let mut tries = Tries::default();
        for server in self.candidates(user, room, via).await? {
            let request = Request::new(room.to_owned());
            let answer = self.federation().call_within(&server, request, step_limits()).await;
            match answer.map(|answer| answer.room.summary) {
                // What that server may know, our person need not.
                Ok(summary) if summary.room_id == room && memberships.may_know(&summary) => {
                    return Ok(Summary { summary, membership: memberships.of_room(room) });
                }
                Ok(_) => tries.failed(&server, RoomsError::NotFound("room"))?,
                Err(error) => tries.failed(&server, error.into())?,
            }
        }
        Err(match tries.end() {
            error @ RoomsError::Data(_) => error,
            _ => RoomsError::NotFound("room"),
        })
    }
}
