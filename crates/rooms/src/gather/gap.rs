//! History that nobody told us of ends somewhere: the state there is asked for.

use std::collections::BTreeSet;

use blaupause_data::together;
use blaupause_federation::CallLimits;
use blaupause_graph::{Pdu, StateRoot};
use ruma::{
    EventId, OwnedEventId, RoomId, ServerName,
    api::federation::event::{get_event, get_room_state, get_room_state_ids},
    room_version_rules::RoomVersionRules,
};

use crate::{Rooms, RoomsError, append::Appending, outliers::is_create, remote_append::Way};

/// Events that are asked for one by one; more are asked for as a whole.
const SINGLE_EVENTS_MAX: usize = 50;
/// Requests for single events that run side by side.
const AT_ONCE: usize = 8;
/// Events that a state has, with all that it rests on.
const STATE_EVENTS_MAX: usize = 300_000;

impl Rooms {
    /// Store an event and the state before it, as the other server says it was. It is not shown,
    /// but what comes after it can be judged. Whether the other server answered: if it did, it is of
    /// no use to ask it once more.
    pub(crate) async fn fill_gap(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        id: &EventId,
    ) -> Result<bool, RoomsError> {
        let mut answers = true;
        let asked = vec![id.to_owned()];
        let event = self.single_events(origin, room, rules, asked, &mut answers).await;
        let Some(event) = event.into_iter().find(|event| event.event_id() == id) else {
            return Ok(answers);
        };
        // Before the beginning there is nothing: nobody has to be asked.
        let told = match is_create(&event) {
            true => Some(StateRoot::EMPTY),
            false => self.told_state(origin, room, rules, id, &mut answers).await?,
        };
        if let Some(root) = told {
            let standing = self.take_event(room, &event, Way::Aside(root), None).await?;
            tracing::debug!(event = %id, ?standing, "a gap");
        }
        Ok(answers)
    }

    /// The state before an event, as the other server says it was; stored. `None` if it cannot be
    /// had, or cannot be one.
    pub(crate) async fn told_state_before(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        id: &EventId,
    ) -> Result<Option<StateRoot>, RoomsError> {
        self.told_state(origin, room, rules, id, &mut true).await
    }

    async fn told_state(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        id: &EventId,
        answers: &mut bool,
    ) -> Result<Option<StateRoot>, RoomsError> {
        let request = get_room_state_ids::v1::Request::new(id.to_owned(), room.to_owned());
        let call = self.federation().call_within(origin, request, CallLimits::LARGE);
        let told = match call.await {
            Ok(told) if told.pdu_ids.len() + told.auth_chain_ids.len() <= STATE_EVENTS_MAX => told,
            Ok(_) => return Ok(None),
            Err(error) => {
                tracing::debug!(%origin, %room, %error, "the state at an event cannot be had");
                *answers &= error.is_final();
                return Ok(None);
            }
        };
        let all: BTreeSet<OwnedEventId> =
            told.pdu_ids.iter().chain(&told.auth_chain_ids).cloned().collect();
        let absent = self.not_stored(room, all.into_iter().collect()).await?;
        let fetched = if absent.len() <= SINGLE_EVENTS_MAX {
            self.single_events(origin, room, rules, absent, answers).await
        } else {
            self.whole_state(origin, room, rules, id, answers).await
        };
        self.store_outliers(room, &fetched).await?;
        match self.store_told_state(room, &told.pdu_ids).await {
            Ok(root) => Ok(Some(root)),
            Err(RoomsError::Refused(error)) => {
                tracing::info!(%origin, %room, %error, "another server's state is not believed");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn not_stored(
        &self,
        room: &RoomId,
        ids: Vec<OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>, RoomsError> {
        let mut lane = self.lane(room).await?;
        let batch = Appending::new(self, lane.room()?);
        let known = batch.numbers_by_id(&ids).await?;
        let known: BTreeSet<OwnedEventId> = known.into_iter().map(|(id, _)| id).collect();
        Ok(ids.into_iter().filter(|id| !known.contains(id)).collect())
    }

    async fn single_events(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        ids: Vec<OwnedEventId>,
        answers: &mut bool,
    ) -> Vec<Pdu> {
        let mut raw = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let calls = some
                .iter()
                .map(|id| self.federation().call(origin, get_event::v1::Request::new(id.clone())));
            for told in together(calls).await {
                match told {
                    Ok(told) => raw.push(told.pdu),
                    Err(error) => *answers &= error.is_final(),
                }
            }
        }
        self.look_for_strangers(origin, room, &raw).await;
        let wanted: BTreeSet<OwnedEventId> = ids.into_iter().collect();
        let mut events = self.check_events(room, raw, rules).await.good;
        // Whatever else the other server may have put there.
        events.retain(|event| wanted.contains(event.event_id()));
        events
    }

    async fn whole_state(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        id: &EventId,
        answers: &mut bool,
    ) -> Vec<Pdu> {
        let request = get_room_state::v1::Request::new(id.to_owned(), room.to_owned());
        let call = self.federation().call_within(origin, request, CallLimits::LARGE);
        let answer = match call.await {
            Ok(answer) => answer,
            Err(error) => {
                *answers &= error.is_final();
                return Vec::new();
            }
        };
        self.look_for_strangers(origin, room, &answer.pdus).await;
        let raw = answer.pdus.into_iter().chain(answer.auth_chain).take(STATE_EVENTS_MAX);
        self.check_events(room, raw.collect(), rules).await.good
    }

    /// The told state as a root, stored.
    async fn store_told_state(
        &self,
        room: &RoomId,
        ids: &[OwnedEventId],
    ) -> Result<StateRoot, RoomsError> {
        let mut lane = self.lane(room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        let root = match batch.told_state(ids).await {
            Ok(root) => root,
            Err(error) => {
                drop(batch);
                lane.release().forget();
                return Err(error);
            }
        };
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(root)
    }
}
