//! What can only be said when all members of a room are known.

use blaupause_data::Place;
use ruma::UserId;

use super::RoomAccess;
use crate::RoomsError;

impl RoomAccess {
    /// Wait until the members are known: what may be read then, if that had to be waited for.
    ///
    /// # Errors
    /// [`RoomsError::StatePartial`] if it takes too long; [`RoomsError::NotJoined`] if the reader may
    /// not read the room any more.
    pub(super) async fn when_whole(&self) -> Result<Option<Self>, RoomsError> {
        if !self.rooms.whole(&self.room).await? {
            return Ok(None);
        }
        self.rooms.access(&self.reader, &self.room).await.map(Some)
    }

    /// A gap in the timeline at which the members were known: this one, or the first one.
    pub(super) async fn not_partial_at(&self, at: Place) -> Result<Place, RoomsError> {
        let since = self.rooms.wholeness(&self.room).await?.since();
        Ok(since.map_or(at, |since| at.max(Place::after(since))))
    }

    /// Whose membership is always known.
    pub(super) fn is_own_member(&self, state_key: &str) -> bool {
        let data = self.rooms.data();
        UserId::parse(state_key).is_ok_and(|user| data.is_local(&user))
    }
}
