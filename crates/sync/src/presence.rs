//! Whose presence a first answer tells.

use std::collections::HashSet;

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{Sync, SyncError};

/// Users of other servers among whom those are looked for who share a room with the reader.
pub(crate) const REMOTE_PRESENCE_MAX: usize = 2_000;

impl Sync {
    /// The reader, and who is there of those who share one of their rooms. People of this server who
    /// are online are connected, and who is connected is in memory; to read the rooms of everybody
    /// who is online would take forever. Of people elsewhere it is known what their servers told.
    pub(crate) async fn present(
        &self,
        reader: &UserId,
        rooms: &HashSet<OwnedRoomId>,
    ) -> Result<Vec<OwnedUserId>, SyncError> {
        let mut connected = self.notifier().connected_in(rooms);
        connected.insert(reader.to_owned());
        let mut present = self.passing().presence_among(connected);
        let elsewhere = self.accounts().presence().elsewhere(REMOTE_PRESENCE_MAX);
        if !elsewhere.is_empty() {
            present.extend(self.data().sharing(&elsewhere, rooms).await?);
        }
        Ok(present)
    }
}
