//! Rooms the user left or was banned from.

use ruma::api::client::sync::sync_events::v3;

use super::{Span, SyncRequest, plan::Plan};
use crate::{
    Sync, SyncError,
    state::{self, Delta},
    timeline::{self, Wanted},
};

impl Sync {
    /// The timeline ends with the user's leave: nothing after it is theirs to see.
    pub(super) async fn add_left(
        &self,
        request: &SyncRequest,
        span: &Span,
        plan: &Plan,
        response: &mut v3::Response,
    ) -> Result<(), SyncError> {
        let filter = &request.filter.room;
        let limit = Wanted::limit(filter.timeline.limit.map(Into::into));
        let wanted: Vec<_> = plan
            .left
            .iter()
            .map(|room| Wanted {
                room: room.room_id.clone(),
                since: span.since,
                until: room.pos,
                limit,
            })
            .collect();
        let mut timelines = timeline::load(self.data(), &wanted, &filter.timeline).await?;
        self.hide_ignored(&request.user, &mut timelines).await?;
        let deltas: Vec<_> = plan
            .left
            .iter()
            .zip(&timelines)
            .map(|(room, timeline)| {
                let to =
                    if request.use_state_after { timeline.state_end } else { timeline.state_start };
                // Who was never in the room is told nothing of its state.
                let to = if room.was_joined { to } else { timeline.state_since };
                let from = Some(timeline.state_since).filter(|_| span.since.is_some());
                Delta { room: self.data().parts().room(&room.room_id), from, to }
            })
            .collect();
        let states = state::load(self.data(), &deltas).await?;
        for ((room, timeline), state) in plan.left.iter().zip(timelines).zip(states) {
            let (id, user) = (&room.room_id, &request.user);
            let events = if room.was_joined {
                self.visible(user, id, timeline.events).await?
            } else {
                let own = |event: &std::sync::Arc<blaupause_data::Event>| Some(event.no) == room.no;
                timeline.events.into_iter().filter(own).collect()
            };
            let state = if room.was_joined {
                state::select(state, &filter.state, None)
            } else {
                Vec::new()
            };
            let mut left = v3::LeftRoom::new();
            left.timeline.limited = timeline.limited;
            left.timeline.prev_batch = timeline.prev_batch.map(|place| place.to_token());
            left.timeline.events = self.shape(user, request.device.as_deref(), id, &events).await?;
            let state = self.shape(user, request.device.as_deref(), id, &state).await?;
            left.state = if request.use_state_after {
                v3::State::After(v3::StateEvents::with_events(state))
            } else {
                v3::State::Before(v3::StateEvents::with_events(state))
            };
            response.rooms.leave.insert(id.clone(), left);
        }
        Ok(())
    }
}
