//! Rooms the user is joined to.

use std::{collections::HashSet, sync::Arc};

use blaupause_data::{Event, Part};
use blaupause_graph::StateRoot;
use ruma::{
    OwnedRoomId, OwnedUserId, UInt,
    api::client::sync::sync_events::{UnreadNotificationsCount, v3},
};

use super::{answer::Ask, plan::Joined};
use crate::{
    Sync, SyncError,
    lazy::{MEMBERS_MAX, Members},
    shape::hide_ignored,
    state::{self, MEMBER},
    summary,
    timeline::{self, Timeline, Wanted},
};

/// What a room was told, and members that the device now knows of.
pub(super) type ToldRoom = (Option<v3::JoinedRoom>, Option<(Part, Members)>);

/// Which state goes with a timeline.
pub(super) struct StateAsk<'a> {
    pub part: Part,
    pub timeline: &'a Timeline,
    /// The client has none of it.
    pub everything: bool,
    /// Members that the client was told of.
    pub told: Members,
    /// Members became known of whom nothing was known: they are told when they speak.
    pub is_revealed: bool,
}

impl Sync {
    pub(super) async fn joined_room(
        &self,
        ask: &Ask<'_>,
        room: &Joined,
    ) -> Result<ToldRoom, SyncError> {
        if !room.is_touched {
            let mut joined = v3::JoinedRoom::new();
            self.add_typing(ask, room, &mut joined)?;
            return Ok(((!joined.is_empty()).then_some(joined), None));
        }
        let (timeline, receipts, account_data) = tokio::join!(
            self.joined_timeline(ask, room),
            self.receipts(ask, room),
            self.room_account_data_of(ask, room),
        );
        let timeline = timeline?;
        let part = self.data().parts().room(&room.room);
        let everything = room.is_new || ask.request.full_state;
        let told = if everything { Members::default() } else { ask.told.of(part) };
        let since = self.rooms().wholeness(&room.room).await?.since();
        let is_revealed = ask.lazy().is_some() && since.is_some_and(|since| ask.span.is_new(since));
        let state = StateAsk { part, timeline: &timeline, everything, told, is_revealed };
        let (state, members) = self.state_of(ask, &state).await?;
        let mut joined = v3::JoinedRoom::new();
        joined.ephemeral.events.extend(receipts?);
        joined.account_data.events = account_data?;
        self.add_typing(ask, room, &mut joined)?;
        let is_silent = timeline.events.is_empty() && state.is_empty() && joined.is_empty();
        // Counts alone are no news, unless they changed without an event.
        if is_silent && !everything && !timeline.limited && !ask.news.own_counts_in(&room.room) {
            return Ok((None, None));
        }
        self.fill_in(ask, room, &timeline, &state, &mut joined).await?;
        Ok((Some(joined), members.map(|members| (part, members))))
    }

    async fn joined_timeline(&self, ask: &Ask<'_>, room: &Joined) -> Result<Timeline, SyncError> {
        let filter = &ask.request.filter.room.timeline;
        let wanted = Wanted {
            room: self.data().parts().room(&room.room),
            since: ask.span.since.filter(|_| !room.is_new),
            until: ask.span.until,
            limit: Wanted::limit(filter.limit.map(Into::into)),
        };
        let mut timeline = timeline::load(self.data(), wanted, filter).await?;
        hide_ignored(ask.ignored(), &mut timeline);
        if room.is_new {
            // What came before the user joined is shown as the room's history rules say.
            self.keep_visible(&ask.request.user, &room.room, &mut timeline).await?;
            timeline.limited |= ask.span.since.is_some();
        }
        Ok(timeline)
    }

    /// The state that goes with a timeline: up to its start, or, if the client asked so, up to its
    /// end; and the members that the client knows of afterwards.
    pub(super) async fn state_of(
        &self,
        ask: &Ask<'_>,
        state: &StateAsk<'_>,
    ) -> Result<(Vec<Arc<Event>>, Option<Members>), SyncError> {
        let StateAsk { part, timeline, everything, .. } = *state;
        let after = ask.request.use_state_after;
        let to = if after { timeline.state_end } else { timeline.state_start() };
        let filter = &ask.request.filter.room.state;
        let Some(redundant) = ask.lazy() else {
            let mut events = self.state_since(state, to).await?;
            self.add_merged_state(state, to, &mut events).await?;
            return Ok((state::select(events, filter), None));
        };
        let mut shown = shown_members(&timeline.events, everything.then_some(&ask.request.user));
        let parts = self.data().parts();
        let all: Vec<_> = shown.iter().map(|user| parts.user(user)).collect();
        if !redundant {
            shown.retain(|user| !state.told.contains(parts.user(user)));
        }
        let (rest, members) = tokio::join!(
            async {
                if everything {
                    Ok(self.rooms().state_without_members(part, to).await?)
                } else {
                    // In a gap, members who changed are told, too: the client may have them from
                    // before.
                    self.state_since(state, to).await
                }
            },
            self.members_at(part, to, &shown),
        );
        let mut events = rest?;
        self.add_merged_state(state, to, &mut events).await?;
        let have: HashSet<_> = events.iter().map(|event| event.no).collect();
        events.extend(members?.into_iter().filter(|event| !have.contains(&event.no)));
        Ok((state::select(events, filter), Some(state.told.and(&all, MEMBERS_MAX))))
    }

    /// Where branches were merged after the timeline's start, what that changed and no event of
    /// the timeline says. A client applies it before the timeline; one that asks for the state after
    /// it is better off. What begins the timeline and came from another branch is told here, too: for
    /// those who order events by their branches it is older than what the timeline leaves out.
    async fn add_merged_state(
        &self,
        state: &StateAsk<'_>,
        to: StateRoot,
        events: &mut Vec<Arc<Event>>,
    ) -> Result<(), SyncError> {
        let timeline = state.timeline;
        let aside = timeline.aside.filter(|_| timeline.limited);
        if (timeline.is_linear && aside.is_none()) || to == timeline.state_end {
            return Ok(());
        }
        let merged = self.state_difference(state.part, to, timeline.state_end).await?;
        let merged = merged.told(!state.is_revealed);
        let shown = timeline.events.iter().map(|event| event.no).filter(|no| Some(*no) != aside);
        let shown: HashSet<_> = shown.collect();
        for event in merged.into_iter().filter(|event| !shown.contains(&event.no)) {
            events.retain(|old| (&old.kind, &old.state_key) != (&event.kind, &event.state_key));
            events.push(event);
        }
        Ok(())
    }

    /// What changed up to a state since the client looked. Of a timeline that begins where the
    /// client stopped that is nothing; behind a gap, or a filter, it is what the client does not
    /// see.
    async fn state_since(
        &self,
        state: &StateAsk<'_>,
        to: StateRoot,
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        let from = if state.everything { StateRoot::EMPTY } else { state.timeline.state_since };
        Ok(self.state_difference(state.part, from, to).await?.told(!state.is_revealed))
    }

    /// Events as the reader sees them, the summary and the counts.
    async fn fill_in(
        &self,
        ask: &Ask<'_>,
        room: &Joined,
        timeline: &Timeline,
        state: &[Arc<Event>],
        joined: &mut v3::JoinedRoom,
    ) -> Result<(), SyncError> {
        let (id, user) = (&room.room, &ask.request.user);
        let mut events = timeline.events.iter().chain(state);
        let everything = room.is_new || ask.request.full_state;
        let members_changed = everything || events.any(|event| event.kind == MEMBER);
        let is_newest = self.is_newest(id, timeline, &ask.span);
        let (shown, shaped, summary, counts) = tokio::join!(
            self.shape(ask.reader(), id, &timeline.events, is_newest),
            self.shape(ask.reader(), id, state, false),
            async {
                if !members_changed {
                    return Ok(None);
                }
                summary::summary(self.data(), id, user).await.map(Some)
            },
            Box::pin(self.notify().counts(user, id)),
        );
        joined.timeline.limited = timeline.limited;
        joined.timeline.prev_batch = timeline.prev_batch.map(|place| place.to_token());
        joined.timeline.events = shown?;
        joined.state = state_events(ask, shaped?);
        joined.summary = summary?.unwrap_or_default();
        let counts = counts?;
        let threads = ask.request.filter.room.timeline.unread_thread_notifications;
        let main = counts.room(threads);
        joined.unread_notifications = as_count(main.notify, main.highlight);
        if threads {
            joined.unread_thread_notifications = counts
                .threads()
                .map(|(root, count)| (root.clone(), as_count(count.notify, count.highlight)))
                .collect();
        }
        Ok(())
    }

    /// Whether a timeline holds everything from its first event to the newest of the room.
    pub(crate) fn is_newest(
        &self,
        room: &OwnedRoomId,
        timeline: &Timeline,
        span: &crate::span::Span,
    ) -> bool {
        let newest = || self.data().newest_event(self.data().parts().room(room));
        timeline.is_whole && newest().is_some_and(|newest| newest <= span.until)
    }
}

/// Whom a timeline shows, each once.
fn shown_members(events: &[Arc<Event>], and: Option<&OwnedUserId>) -> Vec<OwnedUserId> {
    let mut seen = HashSet::new();
    let senders = events.iter().map(|event| &event.sender).chain(and);
    senders.filter(|user| seen.insert(*user)).cloned().collect()
}

/// State in the section that the client asked for.
pub(super) fn state_events(
    ask: &Ask<'_>,
    events: Vec<ruma::serde::Raw<ruma::events::AnySyncStateEvent>>,
) -> v3::State {
    let events = v3::StateEvents::with_events(events);
    if ask.request.use_state_after { v3::State::After(events) } else { v3::State::Before(events) }
}

fn as_count(notify: u64, highlight: u64) -> UnreadNotificationsCount {
    let mut count = UnreadNotificationsCount::new();
    count.notification_count = UInt::new(notify);
    count.highlight_count = UInt::new(highlight);
    count
}
