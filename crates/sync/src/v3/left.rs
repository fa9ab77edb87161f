//! Rooms the user left or was banned from.

use blaupause_data::{Found, rows::UserRoom};
use ruma::api::client::sync::sync_events::v3;

use super::{
    answer::Ask,
    joined::{StateAsk, state_events},
    plan::stripped,
};
use crate::{
    Sync, SyncError,
    lazy::Members,
    shape::hide_ignored,
    state::is_member_event_of,
    timeline::{self, Timeline, Wanted},
};

impl Sync {
    /// The timeline ends with the user's leave: nothing after it is theirs to see.
    pub(super) async fn left_room(
        &self,
        ask: &Ask<'_>,
        room: &Found<UserRoom>,
    ) -> Result<v3::LeftRoom, SyncError> {
        let (id, user) = (&room.room_id, &ask.request.user);
        let filter = &ask.request.filter.room.timeline;
        let part = self.data().parts().room(id);
        let wanted = Wanted {
            room: part,
            since: ask.span.since,
            until: room.pos,
            limit: Wanted::limit(filter.limit.map(Into::into)),
        };
        let mut timeline = timeline::load(self.data(), wanted, filter).await?;
        hide_ignored(ask.ignored(), &mut timeline);
        let (was_inside, left_as_member) = tokio::join!(
            self.is_joined_at(part, timeline.state_since, user),
            self.left_as_member(room),
        );
        let mut left = v3::LeftRoom::new();
        if !left_as_member? {
            // A declined invitation: who was not in the room learns of nothing but the own end.
            timeline.events.retain(|event| is_member_event_of(event, user));
            let last = timeline.events.split_off(timeline.events.len().saturating_sub(1));
            left.timeline.events = self.shape(ask.reader(), id, &last, false).await?;
            if last.is_empty() {
                // Of a room that this server was not in there is nothing but that event.
                left.timeline.events = stripped(room);
            }
            left.state = state_events(ask, Vec::new());
            return Ok(left);
        }
        self.keep_visible(user, id, &mut timeline).await?;
        // What the client has of the room is from when the user was inside.
        let everything = !was_inside?;
        let told = if everything { Members::default() } else { ask.told.of(part) };
        let state = StateAsk { part, timeline: &timeline, everything, told, is_revealed: false };
        let (state, _) = self.state_of(ask, &state).await?;
        self.fill_in_left(ask, room, &timeline, &state, &mut left).await?;
        Ok(left)
    }

    async fn fill_in_left(
        &self,
        ask: &Ask<'_>,
        room: &Found<UserRoom>,
        timeline: &Timeline,
        state: &[std::sync::Arc<blaupause_data::Event>],
        left: &mut v3::LeftRoom,
    ) -> Result<(), SyncError> {
        let id = &room.room_id;
        let (shown, shaped) = tokio::join!(
            self.shape(ask.reader(), id, &timeline.events, false),
            self.shape(ask.reader(), id, state, false),
        );
        left.timeline.limited = timeline.limited;
        left.timeline.prev_batch = timeline.prev_batch.map(|place| place.to_token());
        left.timeline.events = shown?;
        left.state = state_events(ask, shaped?);
        Ok(())
    }
}
