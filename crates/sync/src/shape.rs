//! Events as this reader sees them.

use std::sync::Arc;

use blaupause_data::Event;
use ruma::{DeviceId, OwnedRoomId, UserId, serde::Raw};

use crate::{Sync, SyncError};

impl Sync {
    /// Events in the form of sync answers (without `room_id`, with `unsigned` for the reader).
    pub(crate) async fn shape<T>(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        room: &OwnedRoomId,
        events: &[Arc<Event>],
    ) -> Result<Vec<Raw<T>>, SyncError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let shaped = self.rooms().serialize_for_sync(user, device, room, events).await?;
        Ok(shaped.into_iter().map(Raw::from_json).collect())
    }

    /// The events that the room's history rules let the user see.
    pub(crate) async fn visible(
        &self,
        user: &UserId,
        room: &OwnedRoomId,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        if events.is_empty() {
            return Ok(events);
        }
        Ok(self.rooms().visible_events(user, room, events).await?)
    }
}
