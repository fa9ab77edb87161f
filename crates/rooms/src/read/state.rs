//! The state of a room: now, or when the reader left.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use blaupause_data::{Event, LIMITS, Order, ReadSet, rows::StateKeyNoRow};
use blaupause_graph::{EventNo, StateRoot};
use ruma::{OwnedUserId, events::StateEventType};
use serde_json::value::RawValue;

use super::RoomAccess;
use crate::RoomsError;

const MEMBER: &str = "m.room.member";
/// Events that are read in one go: a room may have 100,000 members.
const STEP_EVENTS: usize = 2_000;

impl RoomAccess {
    /// The whole state.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn full_state(&self) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let events = self.state_events(self.state(), None).await?;
        Ok(self.serialize_state(&events))
    }

    /// One state event.
    ///
    /// # Errors
    /// [`RoomsError::NotFound`] if the room has none of that type and key.
    pub async fn state_event(
        &self,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Arc<Event>, RoomsError> {
        let name = (self.part, (kind.to_string(), state_key.to_owned()));
        let number = self.rooms.key_numbers().get(self.rooms.data(), [name]).await?;
        let number = number.into_iter().next().flatten();
        let number = number.ok_or(RoomsError::NotFound("state event"))?;
        let found = self.rooms.data().state_get(self.part, self.state(), &[number]).await?;
        let events: Vec<_> = found.into_iter().flatten().collect();
        let mut events = self.load(events).await?;
        events.pop().ok_or(RoomsError::NotFound("state event"))
    }

    /// One state event as the reader sees it.
    ///
    /// # Errors
    /// As [`RoomAccess::state_event`].
    pub async fn state_event_json(
        &self,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Box<RawValue>, RoomsError> {
        let event = self.state_event(kind, state_key).await?;
        let mut page = self.serialize_page(&[event]).await?;
        page.pop().ok_or(RoomsError::NotFound("state event"))
    }

    /// The events of a state, with only the named members' member events if there are names.
    pub(crate) async fn state_events(
        &self,
        state: StateRoot,
        members: Option<BTreeSet<OwnedUserId>>,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let Some(members) = members else {
            let all = self.rooms.data().state_all(self.part, state).await?;
            return self.load(all.into_iter().map(|(_, no)| no).collect()).await;
        };
        let mut events = self.events_without_members(state).await?;
        events.extend(self.member_events(state, members).await?);
        Ok(events)
    }

    /// All state events but those of members; cheap however many members there are.
    async fn events_without_members(
        &self,
        state: StateRoot,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let member = MEMBER.to_owned();
        let (none, all) = (Bound::<&String>::Unbounded, LIMITS.scan_rows_max);
        let mut want = ReadSet::new();
        let slots = [(none, Bound::Excluded(&member)), (Bound::Excluded(&member), none)].map(
            |(from, to)| want.range::<StateKeyNoRow>(self.part, from, to, Order::Forward, all),
        );
        let got = want.run(self.rooms.data()).await?;
        let mut keys = Vec::new();
        for slot in slots {
            keys.extend(got.many(slot)?.rows.into_iter().map(|(_, number)| number.value));
        }
        let found = self.rooms.data().state_get(self.part, state, &keys).await?;
        self.load(found.into_iter().flatten().collect()).await
    }

    /// The member events of some users at a state.
    pub(crate) async fn member_events(
        &self,
        state: StateRoot,
        users: BTreeSet<OwnedUserId>,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let names =
            users.into_iter().map(|user| (self.part, (MEMBER.to_owned(), user.to_string())));
        let numbers = self.rooms.key_numbers().get(self.rooms.data(), names).await?;
        let numbers: Vec<_> = numbers.into_iter().flatten().collect();
        let found = self.rooms.data().state_get(self.part, state, &numbers).await?;
        self.load(found.into_iter().flatten().collect()).await
    }

    /// Events of this room by number, a bounded number at a time.
    pub(crate) async fn load(&self, numbers: Vec<EventNo>) -> Result<Vec<Arc<Event>>, RoomsError> {
        let mut events = Vec::with_capacity(numbers.len());
        for step in numbers.chunks(STEP_EVENTS) {
            let wanted: Vec<_> = step.iter().map(|no| (self.part, *no)).collect();
            events.extend(self.rooms.data().events(&wanted).await?.into_iter().flatten());
        }
        Ok(events)
    }
}
