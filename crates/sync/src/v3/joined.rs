//! Rooms the user is joined to.

use std::{collections::HashSet, sync::Arc};

use blaupause_data::{Event, Member};
use blaupause_graph::StateRoot;
use ruma::{
    OwnedUserId,
    api::client::{
        filter::LazyLoadOptions,
        sync::sync_events::{UnreadNotificationsCount, v3},
    },
    events::room::member::RoomMemberEventContent,
};

use super::{
    Span, SyncRequest,
    plan::{Joined, Plan},
};
use crate::{
    Sync, SyncError,
    device_lists::RoomMoves,
    state::{self, Delta},
    summary,
    timeline::{self, Timeline, Wanted},
};

impl Sync {
    pub(super) async fn add_joined(
        &self,
        request: &SyncRequest,
        span: &Span,
        plan: &Plan,
        moves: &mut RoomMoves,
        response: &mut v3::Response,
    ) -> Result<(), SyncError> {
        let filter = &request.filter.room;
        let limit = Wanted::limit(filter.timeline.limit.map(Into::into));
        let wanted: Vec<_> = plan
            .joined
            .iter()
            .map(|room| Wanted {
                room: room.room.clone(),
                since: span.since.filter(|_| !room.is_new),
                until: span.until,
                limit,
            })
            .collect();
        let mut timelines = timeline::load(self.data(), &wanted, &filter.timeline).await?;
        self.hide_ignored(&request.user, &mut timelines).await?;
        for (room, timeline) in plan.joined.iter().zip(&mut timelines) {
            if room.is_new {
                // What came before the user joined is shown as the room's history rules say.
                let events = std::mem::take(&mut timeline.events);
                timeline.events = self.visible(&request.user, &room.room, events).await?;
            }
        }
        let deltas: Vec<_> = plan
            .joined
            .iter()
            .zip(&timelines)
            .map(|(room, timeline)| self.delta(request, room, timeline))
            .collect();
        let states = state::load(self.data(), &deltas).await?;
        for ((room, timeline), state) in plan.joined.iter().zip(timelines).zip(states) {
            if !room.is_new {
                note_moves(&request.user, &timeline.events, &state, moves);
            }
            let joined = self.joined_room(request, span, room, timeline, state).await?;
            if !joined.is_empty() || room.is_new {
                response.rooms.join.insert(room.room.clone(), joined);
            }
        }
        Ok(())
    }

    /// Which state the answer has to tell: up to the start of the timeline, or, if the client
    /// asked so, up to its end.
    fn delta(&self, request: &SyncRequest, room: &Joined, timeline: &Timeline) -> Delta {
        let to = if request.use_state_after { timeline.state_end } else { timeline.state_start };
        let everything = room.is_new || request.full_state;
        let from = (!everything).then_some(timeline.state_since);
        // A timeline without gap starts where the client stopped: nothing to tell.
        let to = if !everything && !request.use_state_after && !timeline.limited {
            timeline.state_since
        } else {
            to
        };
        Delta { room: self.data().parts().room(&room.room), from, to }
    }

    async fn joined_room(
        &self,
        request: &SyncRequest,
        span: &Span,
        room: &Joined,
        timeline: Timeline,
        mut state: Vec<Arc<Event>>,
    ) -> Result<v3::JoinedRoom, SyncError> {
        let filter = &request.filter.room;
        let (id, user) = (&room.room, &request.user);
        let membership_changed = room.is_new
            || request.full_state
            || timeline.events.iter().chain(&state).any(|event| event.kind == "m.room.member");
        if let LazyLoadOptions::Enabled { include_redundant_members } =
            filter.state.lazy_load_options
        {
            let at =
                if request.use_state_after { timeline.state_end } else { timeline.state_start };
            state =
                self.lazily(request, room, &timeline, state, at, include_redundant_members).await?;
        }
        let state = state::select(state, &filter.state, None);
        let mut joined = v3::JoinedRoom::new();
        joined.timeline.limited = timeline.limited || (room.is_new && span.since.is_some());
        joined.timeline.prev_batch = timeline.prev_batch.map(|place| place.to_token());
        joined.timeline.events =
            self.shape(user, request.device.as_deref(), id, &timeline.events).await?;
        let state = self.shape(user, request.device.as_deref(), id, &state).await?;
        joined.state = if request.use_state_after {
            v3::State::After(v3::StateEvents::with_events(state))
        } else {
            v3::State::Before(v3::StateEvents::with_events(state))
        };
        if !room.touched && !room.is_new {
            self.add_typing(request, span, room, &mut joined).await?;
            return Ok(joined);
        }
        if membership_changed && let Some(head) = &timeline.head {
            joined.summary = summary::summary(self.data(), id, user, head).await?;
        }
        self.add_receipts(request, span, room, &mut joined).await?;
        self.add_typing(request, span, room, &mut joined).await?;
        self.add_room_account_data(request, span, room, &mut joined).await?;
        // Counts alone are no news: they change with an event, a receipt or a rule.
        if !joined.is_empty() || room.is_new {
            let counts = self.notify().counts(user, id).await?;
            let threads = filter.timeline.unread_thread_notifications;
            let as_count = |notify: u64, highlight: u64| {
                let mut count = UnreadNotificationsCount::new();
                count.notification_count = ruma::UInt::new(notify);
                count.highlight_count = ruma::UInt::new(highlight);
                count
            };
            let main = counts.room(threads);
            joined.unread_notifications = as_count(main.notify, main.highlight);
            if threads {
                joined.unread_thread_notifications = counts
                    .threads()
                    .map(|(root, count)| (root.clone(), as_count(count.notify, count.highlight)))
                    .collect();
            }
        }
        Ok(joined)
    }

    /// With lazy loading only the members that the timeline shows are told, each once per device
    /// unless redundant ones are wanted.
    async fn lazily(
        &self,
        request: &SyncRequest,
        room: &Joined,
        timeline: &Timeline,
        state: Vec<Arc<Event>>,
        at: StateRoot,
        redundant: bool,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        let mut wanted: Vec<OwnedUserId> = Vec::new();
        for event in &timeline.events {
            if !wanted.contains(&event.sender) {
                wanted.push(event.sender.clone());
            }
        }
        if (room.is_new || request.full_state) && !wanted.contains(&request.user) {
            wanted.push(request.user.clone());
        }
        if let Some(device) = &request.device {
            let key = (request.user.clone(), device.clone(), room.room.clone());
            if room.is_new || request.full_state {
                self.lazy().reset(&key);
            }
            let unsent = self.lazy().not_sent(&key, &wanted);
            if !redundant {
                wanted = unsent;
            }
        }
        let everything = room.is_new || request.full_state;
        let (members, mut rest): (Vec<_>, Vec<_>) =
            state.into_iter().partition(|event| event.kind == "m.room.member");
        // In a gap, members who changed are told: the client may have them from before.
        if !everything {
            rest.extend(members.iter().cloned());
        }
        let have: HashSet<_> = members.iter().filter_map(|event| event.state_key.clone()).collect();
        let (from_state, missing): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|user| have.contains(user.as_str()));
        if everything {
            rest.extend(members.into_iter().filter(|event| {
                event.state_key.as_deref().is_some_and(|key| from_state.iter().any(|u| u == key))
            }));
        }
        let part = self.data().parts().room(&room.room);
        rest.extend(state::members(self.data(), part, at, &missing).await?);
        Ok(rest)
    }
}

/// Others who joined and left, for device lists.
pub(crate) fn note_moves(
    user: &OwnedUserId,
    timeline: &[Arc<Event>],
    state: &[Arc<Event>],
    moves: &mut RoomMoves,
) {
    for event in timeline.iter().chain(state).filter(|event| event.kind == "m.room.member") {
        let target = event.state_key.as_deref().and_then(|key| OwnedUserId::try_from(key).ok());
        let Some(target) = target.filter(|target| target != user) else { continue };
        let Some(content) = event.content_as::<RoomMemberEventContent>() else { continue };
        match Member::from_state(&content.membership) {
            Member::Join => moves.others_joined.insert(target),
            Member::Leave | Member::Ban => moves.others_left.insert(target),
            Member::Invite | Member::Knock => false,
        };
    }
}
