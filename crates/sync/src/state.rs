//! State that goes with a timeline part.

use std::sync::Arc;

use blaupause_data::{DataError, Event, Found, Member, Part, rows::UserRoom};
use blaupause_graph::{EventNo, StateRoot};
use ruma::{OwnedUserId, UserId, api::client::filter::RoomEventFilter};
use serde::Deserialize;

use crate::{Sync, SyncError, filter};

pub(crate) const MEMBER: &str = "m.room.member";

/// What differs between two states.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// The events of the newer state.
    pub events: Vec<Arc<Event>>,
    /// By event: the number of the one that it took the place of.
    pub before: Vec<Option<EventNo>>,
}

impl Difference {
    /// Its events, without members of whom nothing was known before, if so wished.
    pub(crate) fn told(self, with_new_members: bool) -> Vec<Arc<Event>> {
        let both = self.events.into_iter().zip(self.before);
        let told = both
            .filter(|(event, before)| with_new_members || before.is_some() || event.kind != MEMBER);
        told.map(|(event, _)| event).collect()
    }
}

impl Sync {
    /// The state events that make the difference; from the empty state: the whole state.
    ///
    /// State that was removed (possible only when branches merge) is not told: clients have no way
    /// to be told (spec: client-server API, "Syncing").
    pub(crate) async fn state_difference(
        &self,
        room: Part,
        from: StateRoot,
        to: StateRoot,
    ) -> Result<Difference, DataError> {
        if from == to {
            return Ok(Difference::default());
        }
        let changes = self.data().state_diff(&[(room, from, to)]).await?.pop().unwrap_or_default();
        let numbers: Vec<_> =
            changes.iter().filter_map(|change| Some((room, change.after?))).collect();
        let events = self.data().events(&numbers).await?;
        let kept = changes.into_iter().filter(|change| change.after.is_some());
        let both = kept.zip(events).filter_map(|(change, event)| Some((event?, change.before)));
        let (events, before) = both.unzip();
        Ok(Difference { events, before })
    }

    /// The member events of some users at a state.
    pub(crate) async fn members_at(
        &self,
        room: Part,
        state: StateRoot,
        users: &[OwnedUserId],
    ) -> Result<Vec<Arc<Event>>, SyncError> {
        Ok(self.rooms().member_events_at(room, state, users).await?)
    }

    /// Whether a user is joined at a state.
    pub(crate) async fn is_joined_at(
        &self,
        room: Part,
        state: StateRoot,
        user: &UserId,
    ) -> Result<bool, SyncError> {
        let found = self.rooms().member_events_at(room, state, &[user]).await?;
        Ok(found.first().is_some_and(|event| membership_in(event) == Some(Member::Join)))
    }

    /// Whether it was a member who left, not somebody who was invited or had knocked.
    pub(crate) async fn left_as_member(&self, room: &Found<UserRoom>) -> Result<bool, SyncError> {
        let part = self.data().parts().room(&room.room_id);
        let Some(no) = room.no.filter(|_| room.was_joined) else { return Ok(false) };
        let Some(event) = self.data().event(part, no).await? else { return Ok(false) };
        let Some(before) = event.stored.replaces else { return Ok(false) };
        let before = self.data().event(part, before).await?;
        Ok(before.is_some_and(|event| membership_in(&event) == Some(Member::Join)))
    }
}

/// The membership that a member event gives.
pub(crate) fn membership_in(event: &Event) -> Option<Member> {
    #[derive(Deserialize)]
    struct Content {
        membership: ruma::events::room::member::MembershipState,
    }
    let content = event.content_as::<Content>()?;
    Some(Member::from_state(&content.membership))
}

/// Whether an event is the member event of a user.
pub(crate) fn is_member_event_of(event: &Event, user: &UserId) -> bool {
    event.kind == MEMBER && event.state_key.as_deref() == Some(user.as_str())
}

/// Keep what passes a filter.
pub(crate) fn select(mut events: Vec<Arc<Event>>, filter: &RoomEventFilter) -> Vec<Arc<Event>> {
    if !filter::is_open(filter) {
        events.retain(|event| filter::event_passes(filter, event));
    }
    events
}
