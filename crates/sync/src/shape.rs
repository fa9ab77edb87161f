//! Events as this reader sees them.

use std::sync::Arc;

use blaupause_data::{Event, Found, Member, rows::UserRoom};
use ruma::{DeviceId, OwnedRoomId, UserId, serde::Raw};

use crate::{Slot, Sync, SyncError, timeline::Timeline};

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

    /// The user's rooms, without invitations from people they ignore (spec: client-server API,
    /// "Ignoring Users").
    pub(crate) async fn shown_rooms(
        &self,
        slot: &Arc<Slot>,
        user: &UserId,
    ) -> Result<Arc<Vec<Found<UserRoom>>>, SyncError> {
        let rooms = self.notifier().rooms(slot).await?;
        let ignored = self.accounts().ignored_users(user).await?;
        let is_hidden = |room: &Found<UserRoom>| {
            room.membership == Member::Invite && ignored.contains(&room.sender)
        };
        if !rooms.iter().any(is_hidden) {
            return Ok(rooms);
        }
        Ok(Arc::new(rooms.iter().filter(|room| !is_hidden(room)).cloned().collect()))
    }

    /// Leave out messages of people the user ignores; what they change in the state stays.
    pub(crate) async fn hide_ignored(
        &self,
        user: &UserId,
        timelines: &mut [Timeline],
    ) -> Result<(), SyncError> {
        let ignored = self.accounts().ignored_users(user).await?;
        if !ignored.is_empty() {
            for timeline in timelines {
                let is_shown = |event: &Arc<Event>| {
                    event.state_key.is_some() || !ignored.contains(&event.sender)
                };
                timeline.events.retain(is_shown);
            }
        }
        Ok(())
    }
}
