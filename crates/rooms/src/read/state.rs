//! The state of a room: now, or when the reader left.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use blaupause_data::{Event, Order, Part, ReadSet, rows::StateKeyNoRow};
use blaupause_graph::{EventNo, StateKeyNo, StateRoot};
use ruma::{OwnedUserId, events::StateEventType};
use serde_json::value::RawValue;

use super::RoomAccess;
use crate::{Rooms, RoomsError};

const MEMBER: &str = "m.room.member";
/// Events that are read in one go: a room may have 100,000 members.
const STEP_EVENTS: usize = 2_000;
/// State keys of a room that are looked at where members are left out.
const STATE_KEYS_MAX: u32 = 1_000_000;

impl RoomAccess {
    /// The whole state.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn full_state(&self) -> Result<Vec<Box<RawValue>>, RoomsError> {
        if let Some(later) = self.when_whole().await? {
            return Box::pin(later.full_state()).await;
        }
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
        if *kind == StateEventType::RoomMember
            && !self.is_own_member(state_key)
            && let Some(later) = self.when_whole().await?
        {
            return Box::pin(later.state_event(kind, state_key)).await;
        }
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
        self.rooms.state_without_members(self.part, state).await
    }

    /// The member events of some users at a state.
    pub(crate) async fn member_events(
        &self,
        state: StateRoot,
        users: BTreeSet<OwnedUserId>,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let users: Vec<_> = users.into_iter().collect();
        self.rooms.member_events_at(self.part, state, &users).await
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

impl Rooms {
    /// All events of a state but those of members; cheap however many members there are. Whether
    /// somebody may see them is the caller's care.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn state_without_members(
        &self,
        room: Part,
        state: StateRoot,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let member = MEMBER.to_owned();
        let mut want = ReadSet::new();
        let (all, order) = (STATE_KEYS_MAX, Order::Forward);
        let none = Bound::<&String>::Unbounded;
        let before = want.range::<StateKeyNoRow>(room, none, Bound::Excluded(&member), order, all);
        let from = Bound::Excluded(&member);
        let behind = want.range::<StateKeyNoRow>(room, from, none, order, all);
        let got = want.run(self.data()).await?;
        let (before, behind) = (got.many(before)?, got.many(behind)?);
        let mut keys = Vec::new();
        for (mut page, end) in [(before, Bound::Excluded(&member)), (behind, none)] {
            loop {
                let last = page.rows.last().map(|(key, _)| key.clone());
                keys.extend(page.rows.into_iter().map(|(_, number)| number.value));
                let (true, Some(last)) = (page.more && keys.len() < all as usize, last) else {
                    break;
                };
                // One answer of the store is full: go on behind it.
                let mut want = ReadSet::new();
                let from = Bound::Excluded(&last);
                let next = want.range::<StateKeyNoRow>(room, from, end, order, all);
                page = want.run(self.data()).await?.many(next)?;
            }
        }
        self.events_at(room, state, &keys).await
    }

    /// The member events of some users at a state; those who have none are left out. Whether
    /// somebody may see them is the caller's care.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn member_events_at(
        &self,
        room: Part,
        state: StateRoot,
        users: &[impl ToString],
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let names = users.iter().map(|user| (MEMBER.to_owned(), user.to_string())).collect();
        self.state_events_at(room, state, names).await
    }

    /// Events of a state by type and state key; those that are not there are left out. Whether
    /// somebody may see them is the caller's care.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn state_events_at(
        &self,
        room: Part,
        state: StateRoot,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names = keys.into_iter().map(|key| (room, key));
        let numbers = self.key_numbers().get(self.data(), names).await?;
        let numbers: Vec<_> = numbers.into_iter().flatten().collect();
        self.events_at(room, state, &numbers).await
    }

    /// The events of some state keys at a state.
    async fn events_at(
        &self,
        room: Part,
        state: StateRoot,
        keys: &[StateKeyNo],
    ) -> Result<Vec<Arc<Event>>, RoomsError> {
        let found = self.data().state_get(room, state, keys).await?;
        let numbers: Vec<_> = found.into_iter().flatten().map(|no| (room, no)).collect();
        Ok(self.data().events(&numbers).await?.into_iter().flatten().collect())
    }
}
