//! Events that another server told us of as part of a state: stored, judged by their auth events
//! alone, without a place in the timeline and without a state of their own (server-server API,
//! "Outliers").

use std::collections::{HashMap, HashSet};

use blaupause_data::{
    Change, DataError,
    rows::{EventNoRow, StateKeyNoRow, StoredEvent},
};
use blaupause_graph::{
    EventNo, Pdu, Refusal, StateKeyNo, StateRoot, authorize_by_auth_events, order,
};
use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
};

use crate::{
    RoomsError,
    append::Appending,
    hot::{self, StateName},
    load::pdu_of,
    remote_append::has_standing,
};

/// Rows that are asked for in one go.
const STEP_ROWS: usize = 2_000;

/// Of so many events of a told state one may be absent: malformed, or wrongly signed.
const ABSENT_SHARE: usize = 20;

/// What is known of events by their ids.
#[derive(Default)]
struct Known {
    numbers: HashMap<OwnedEventId, EventNo>,
    pdus: HashMap<OwnedEventId, Pdu>,
    keys: HashMap<StateName, StateKeyNo>,
}

impl Appending<'_> {
    /// Store events that are not stored yet, those first that others rest on. An event whose auth
    /// events are not all known is left out; one that they forbid is stored as rejected. A large
    /// batch is committed in pieces, so the lane must be forgotten if this fails.
    pub(crate) async fn take_outliers(&mut self, events: &[Pdu]) -> Result<(), RoomsError> {
        let events = order::topological(events);
        let mut known = self.known_of(&events).await?;
        let rules = self.hot.rules.clone();
        for pdu in events {
            let id = pdu.event_id().to_owned();
            if known.numbers.contains_key(&id) || !pdu.auth_events().iter().all(|id| known.has(id))
            {
                continue;
            }
            let fetch = |id: &EventId| known.pdus.get(id).cloned();
            let rejected = match authorize_by_auth_events(&pdu, fetch, &rules) {
                Ok(()) => false,
                Err(corrupt @ Refusal::Corrupt(_)) => return Err(corrupt.into()),
                Err(_) => true,
            };
            let auth: Vec<_> =
                pdu.auth_events().iter().filter_map(|id| known.numbers.get(id).copied()).collect();
            let no = self.write_outlier(&pdu, auth, rejected);
            if let Some(name) = pdu.state_name().filter(|name| !known.keys.contains_key(name)) {
                let key = self.number_key(&name);
                // The lane may remember that the room never had it.
                if self.hot.state.contains(&name) {
                    self.know(name.clone(), hot::Known { number: Some(key), event: None });
                }
                known.keys.insert(name, key);
            }
            known.numbers.insert(id.clone(), no);
            known.pdus.insert(id, pdu.with_rejected(rejected));
            self.commit_if_large().await?;
        }
        Ok(())
    }

    fn write_outlier(&mut self, pdu: &Pdu, auth: Vec<EventNo>, rejected: bool) -> EventNo {
        let no = self.head.next_event;
        self.head.next_event.0 += 1;
        if !rejected && pdu.state_key().is_some() {
            self.write_auth(no, &auth);
        }
        let stored = StoredEvent {
            event_id: pdu.event_id().to_owned(),
            place: None,
            state_before: StateRoot::EMPTY,
            state_after: StateRoot::EMPTY,
            auth,
            prev: Vec::new(),
            rejected,
            soft_failed: false,
            redacted_by: None,
            replaces: None,
            pdu: pdu.json().to_owned(),
        };
        self.write_event(no, &stored);
        no
    }

    /// The create event is where a room begins: nothing is before it, and after it there is only
    /// itself, whoever told us of it. So whatever leads back to it can be judged. Whether that is
    /// new. What the batch holds so far is not looked at.
    pub(crate) async fn stand_at_the_beginning(
        &mut self,
        create: &Pdu,
    ) -> Result<bool, RoomsError> {
        let numbers = self.numbers_by_id(&[create.event_id().to_owned()]).await?;
        let numbers: Vec<_> = numbers.into_iter().map(|(_, no)| no).collect();
        let found = self.stored(&numbers).await?.pop();
        let Some((no, stored)) = found.filter(|(_, stored)| !has_standing(stored)) else {
            return Ok(false);
        };
        let name = (StateEventType::RoomCreate, String::new());
        let Some(key) = self.key_numbers(vec![name]).await?.into_values().next() else {
            return Ok(false);
        };
        let state_after = self.set_state(StateRoot::EMPTY, &[(key, Some(no))]).await?;
        self.write_event(no, &StoredEvent { state_after, ..stored });
        // It may have been read.
        self.write.change(&Change::Redacted { room: self.head.room_id.clone(), no });
        Ok(true)
    }

    /// Numbers of the events and of all that they name, the named events themselves, and the
    /// numbers of state keys; in few round trips.
    async fn known_of(&self, events: &[Pdu]) -> Result<Known, RoomsError> {
        let own: HashSet<&EventId> = events.iter().map(Pdu::event_id).collect();
        let named = events.iter().flat_map(|pdu| pdu.auth_events().iter());
        let mut all: Vec<OwnedEventId> = own.iter().map(|id| (*id).to_owned()).collect();
        all.extend(named.filter(|id| !own.contains(&***id)).cloned());
        // In version 12 the create event is named by the room's id.
        let create = EventId::parse(format!("${}", self.head.room_id.strip_sigil()));
        all.extend(create.ok());
        all.sort();
        all.dedup();
        let numbers = self.numbers_by_id(&all).await?;
        let mut known = Known::default();
        for numbers in numbers.chunks(STEP_ROWS) {
            let wanted: Vec<_> = numbers.iter().map(|(_, no)| (self.part(), *no)).collect();
            let events = self.rooms.data().events(&wanted).await?;
            for event in events.into_iter().flatten() {
                let pdu = pdu_of(&event, &self.hot.rules)?;
                known.numbers.insert(pdu.event_id().to_owned(), event.no);
                known.pdus.insert(pdu.event_id().to_owned(), pdu);
            }
        }
        let names: HashSet<StateName> = events.iter().filter_map(Pdu::state_name).collect();
        known.keys = self.key_numbers(names.into_iter().collect()).await?;
        Ok(known)
    }

    /// Numbers of the events that are stored.
    pub(crate) async fn numbers_by_id(
        &self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<(OwnedEventId, EventNo)>, DataError> {
        let (part, data) = (self.part(), self.rooms.data());
        let mut found = Vec::new();
        for ids in ids.chunks(STEP_ROWS) {
            let hashes: Vec<_> = ids.iter().map(|id| data.parts().hash16(id.as_str())).collect();
            let rows = data.get_many::<EventNoRow>(hashes.iter().map(|hash| (part, hash))).await?;
            let known = ids.iter().zip(rows);
            found.extend(known.filter_map(|(id, row)| Some((id.clone(), row?.value))));
        }
        Ok(found)
    }

    /// Numbers of state keys that the room has.
    async fn key_numbers(
        &self,
        names: Vec<StateName>,
    ) -> Result<HashMap<StateName, StateKeyNo>, DataError> {
        let part = self.part();
        let mut found = HashMap::new();
        for names in names.chunks(STEP_ROWS) {
            let keys: Vec<_> =
                names.iter().map(|(kind, key)| (kind.to_string(), key.clone())).collect();
            let keys = keys.iter().map(|key| (part, key));
            let rows = self.rooms.data().get_many::<StateKeyNoRow>(keys).await?;
            let known = names.iter().zip(rows);
            found.extend(known.filter_map(|(name, row)| Some((name.clone(), row?.value))));
        }
        Ok(found)
    }

    /// The state that another server told us of, as a root; of the events that are stored, and not
    /// rejected. Commits what the batch holds.
    ///
    /// # Errors
    /// [`RoomsError::Refused`] if it is no state of this room.
    pub(crate) async fn told_state(
        &mut self,
        ids: &[OwnedEventId],
    ) -> Result<StateRoot, RoomsError> {
        self.told_state_without(ids, 0).await
    }

    /// The same where nobody can be asked for more: so many events may be absent in any case.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn told_state_without(
        &mut self,
        ids: &[OwnedEventId],
        few: usize,
    ) -> Result<StateRoot, RoomsError> {
        self.commit_piece().await?;
        let numbers = self.numbers_by_id(ids).await?;
        let mut state: HashMap<StateName, EventNo> = HashMap::new();
        for numbers in numbers.chunks(STEP_ROWS) {
            let wanted: Vec<_> = numbers.iter().map(|(_, no)| (self.part(), *no)).collect();
            for event in self.rooms.data().events(&wanted).await?.into_iter().flatten() {
                let Some(state_key) = event.state_key.clone().filter(|_| !event.stored.rejected)
                else {
                    continue;
                };
                let name = (StateEventType::from(event.kind.as_str()), state_key);
                if state.insert(name, event.no).is_some() {
                    return Err(not_a_state("it holds two events of one state key"));
                }
            }
        }
        let create = (StateEventType::RoomCreate, String::new());
        self.look_up(std::slice::from_ref(&create)).await?;
        let ours = self.view().known(&create).and_then(|known| known.event.as_ref()).cloned();
        // What cannot be had may be what the room's order rests on.
        let absent = ids.len().saturating_sub(numbers.len());
        let levels = (StateEventType::RoomPowerLevels, String::new());
        let share = ids.len() / ABSENT_SHARE;
        if absent > share.max(few) || (absent > share && !state.contains_key(&levels)) {
            return Err(not_a_state("too much of it cannot be had"));
        }
        match (state.get(&create), ours) {
            (None, _) => return Err(not_a_state("it has no create event")),
            (Some(no), Some((our_no, _))) if *no != our_no => {
                return Err(not_a_state("it has another create event"));
            }
            _ => {}
        }
        let keys = self.key_numbers(state.keys().cloned().collect()).await?;
        let changes: Vec<_> =
            state.iter().filter_map(|(name, no)| Some((*keys.get(name)?, Some(*no)))).collect();
        self.set_state(StateRoot::EMPTY, &changes).await
    }
}

impl Known {
    fn has(&self, id: &EventId) -> bool {
        self.pdus.contains_key(id)
    }
}

/// Another server told us of a state that cannot be one.
pub(crate) fn not_a_state(why: &str) -> RoomsError {
    Refusal::NotAllowed(format!("the other server's state is none: {why}")).into()
}

/// Whether an event is the beginning of a room.
pub(crate) fn is_create(pdu: &Pdu) -> bool {
    *pdu.kind() == TimelineEventType::RoomCreate && pdu.state_key() == Some("")
}
