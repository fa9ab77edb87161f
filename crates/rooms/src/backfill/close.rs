//! Gaps between events are closed as soon as they are known: what was said while this server was
//! away belongs to what its people want to read now.

use ruma::RoomId;

use crate::{Rooms, RoomsError};

/// Rounds of one attempt, each of about a hundred events. What lies further back is asked for when
/// somebody reads that far.
const ROUNDS_MAX: usize = 50;

impl Rooms {
    /// As [`Rooms::close_gaps`]; what goes wrong is tried again with the next event.
    pub(crate) async fn close_gaps_quietly(&self, room: &RoomId) {
        if let Err(error) = self.close_gaps(room).await {
            tracing::warn!(%room, %error, "what was said meanwhile cannot be stored now");
        }
    }

    /// Close the gaps between events of a room, as far as other servers help.
    ///
    /// # Errors
    /// The store cannot be read or written.
    async fn close_gaps(&self, room: &RoomId) -> Result<(), RoomsError> {
        // Before the first event lies what was before we came: that can wait.
        let Some(mut after) = self.first_place(room).await? else { return Ok(()) };
        for _ in 0..ROUNDS_MAX {
            let Some(gap) = self.oldest_gap(room, after).await? else { return Ok(()) };
            if !self.fill_unasked(room, &gap).await? {
                // Nobody knows more of this one; perhaps of a newer one.
                after = gap.below;
            }
        }
        Ok(())
    }
}
