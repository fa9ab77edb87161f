//! Whose presence a first answer tells.

use std::collections::HashSet;

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{Sync, SyncError};

/// Users whose rooms are read, because they are not connected, to see whether their presence
/// concerns the reader. Few others are there without being connected.
pub(crate) const PRESENCE_LOOKUPS_MAX: usize = 100;

/// Users of other servers among whom those are looked for who share a room with the reader.
pub(crate) const REMOTE_PRESENCE_MAX: usize = 2_000;

impl Sync {
    /// The reader, and who is there of those who share one of their rooms. People of this server who
    /// are online are as a rule connected, and who is connected is in memory; to read the rooms of
    /// everybody who is online would take forever, so of those of whom memory does not know only
    /// the latest are looked up. Of people elsewhere it is known what their servers told.
    pub(crate) async fn present(
        &self,
        reader: &UserId,
        rooms: &HashSet<OwnedRoomId>,
    ) -> Result<Vec<OwnedUserId>, SyncError> {
        let mut connected = self.notifier().connected_in(rooms);
        connected.insert(reader.to_owned());
        let mut present = self.passing().presence_among(connected);
        let there = self.accounts().presence();
        let unconnected = |user: &UserId| user != reader && !self.notifier().knows_rooms_of(user);
        let mut others = there.here(PRESENCE_LOOKUPS_MAX, unconnected);
        others.extend(there.elsewhere(REMOTE_PRESENCE_MAX));
        if !others.is_empty() {
            present.extend(self.who_shares_rooms(&others, rooms).await?);
        }
        Ok(present)
    }
}
