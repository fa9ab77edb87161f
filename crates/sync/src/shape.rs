//! Events as this reader sees them.

use std::{collections::HashSet, sync::Arc};

use blaupause_data::Event;
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, UserId, serde::Raw};

use crate::{Sync, SyncError, timeline::Timeline};

impl Sync {
    /// Events in the form of sync answers (without `room_id`, with `unsigned` for the reader).
    /// `is_newest`: nothing in the room is newer, and nothing between them is left out.
    pub(crate) async fn shape<T>(
        &self,
        (user, device): (&UserId, Option<&DeviceId>),
        room: &OwnedRoomId,
        events: &[Arc<Event>],
        is_newest: bool,
    ) -> Result<Vec<Raw<T>>, SyncError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let shaped = self.rooms().serialize_for_sync(user, device, room, events, is_newest);
        // Large, and many of them run side by side.
        let shaped = Box::pin(shaped).await?;
        Ok(shaped.into_iter().map(Raw::from_json).collect())
    }

    /// Keep the events that the room's history rules let the user see. What state changed where
    /// the user may not look the client learns from the state before the timeline: it begins after
    /// that.
    pub(crate) async fn keep_visible(
        &self,
        user: &UserId,
        room: &OwnedRoomId,
        timeline: &mut Timeline,
    ) -> Result<(), SyncError> {
        if timeline.events.is_empty() {
            return Ok(());
        }
        let all = std::mem::take(&mut timeline.events);
        let mut shown = self.rooms().visible_events(user, room, all.clone()).await?;
        let is_shown = |event: &Arc<Event>| shown.iter().any(|other| other.no == event.no);
        let hidden_state =
            all.iter().rposition(|event| event.state_key.is_some() && !is_shown(event));
        if let Some(last) = hidden_state {
            let hidden = &all[..=last];
            shown.retain(|event| !hidden.iter().any(|other| other.no == event.no));
            timeline.limited = true;
            let first = shown.first().and_then(|event| event.place);
            timeline.prev_batch = first.or(timeline.prev_batch);
        }
        timeline.is_whole &= shown.len() == all.len();
        timeline.events = shown;
        Ok(())
    }
}

/// Leave out messages of people the user ignores; what they change in the state stays.
pub(crate) fn hide_ignored(ignored: &HashSet<OwnedUserId>, timeline: &mut Timeline) {
    if ignored.is_empty() {
        return;
    }
    let count = timeline.events.len();
    timeline.events.retain(|event| event.state_key.is_some() || !ignored.contains(&event.sender));
    timeline.is_whole &= timeline.events.len() == count;
}
