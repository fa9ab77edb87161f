//! What an event names and this server does not have is asked of the server that sent it
//! (server-server API, "Retrieving missing events"). Without the lane: the room goes on meanwhile.

mod gap;

use std::collections::{BTreeMap, BTreeSet};

use blaupause_federation::FederationError;
use blaupause_graph::{Pdu, Unverified, order};
use ruma::{
    OwnedEventId, RoomId, ServerName, UInt,
    api::federation::{authorization::get_event_authorization, event::get_missing_events},
    room_version_rules::RoomVersionRules,
};

use crate::{
    Rooms, RoomsError,
    append::Appending,
    remote_append::{Missing, Standing, Way},
};

/// Events that one request asks for.
const ASKED_MAX: u32 = 20;
/// Requests for missing events, each going back from where the last one ended. What lies before is
/// a gap: its state is asked for, its events are not.
const ROUNDS_MAX: usize = 5;
/// Events that are gathered for one.
const GATHERED_MAX: usize = 200;
/// Gaps that are filled for one event.
const GAPS_MAX: usize = 10;
/// Auth events that are taken of one answer.
const AUTH_EVENTS_MAX: usize = 10_000;

/// What came of asking for what an event lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// Nothing is missing any more.
    All,
    /// The other server could not be asked: later it may answer.
    Later,
    /// The other server has it not, or shows it to nobody, or it is no event: asking again would
    /// not change that. Who needs the event sends it again.
    Never,
}

/// What a server answered when it was asked for missing events.
enum Answer {
    /// These, and whether there may be more before them.
    Events { good: Vec<Pdu>, more: bool },
    /// Not these, but it may say something else about them.
    Nothing,
    /// There is something among them that is no event, or it was no answer at all.
    Nonsense,
    /// None, for now.
    Away,
}

impl Rooms {
    /// Get what an event lacks.
    ///
    /// # Errors
    /// The store cannot be read or written. Another server that does not answer is no error.
    pub(crate) async fn gather(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        pdu: &Pdu,
        missing: &Missing,
    ) -> Result<Gathered, RoomsError> {
        if self.federation().permits(origin).is_err() || origin == self.data().server_name() {
            return Ok(Gathered::Later);
        }
        let mut answers = true;
        let mut lacks_auth = !missing.auth.is_empty();
        if !missing.prev.is_empty() {
            answers &= self.gather_parents(origin, room, rules, pdu).await?;
            // They may have come with the state at a gap.
            lacks_auth = lacks_auth && !self.still_missing(room, pdu).await?.auth.is_empty();
        }
        if answers && lacks_auth {
            answers &= self.gather_auth_events(origin, room, rules, pdu).await?;
        }
        let left = self.still_missing(room, pdu).await?;
        Ok(match answers {
            _ if left == Missing::default() => Gathered::All,
            true => Gathered::Never,
            false => Gathered::Later,
        })
    }

    async fn still_missing(&self, room: &RoomId, pdu: &Pdu) -> Result<Missing, RoomsError> {
        let mut lane = self.lane(room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        let kin = batch.kin_of(pdu).await?;
        Ok(kin.missing(Way::Live).unwrap_or_default())
    }

    /// The events between those that we have and this one; where they do not reach back to what
    /// we have, the state at the gap. Whether the other server answered.
    async fn gather_parents(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        pdu: &Pdu,
    ) -> Result<bool, RoomsError> {
        let mut gathered: BTreeMap<OwnedEventId, Pdu> = BTreeMap::new();
        let mut latest: Vec<OwnedEventId> = vec![pdu.event_id().to_owned()];
        let mut answers = true;
        for _ in 0..ROUNDS_MAX {
            let (found, more) = match self.missing_events(origin, room, rules, &latest).await? {
                Answer::Events { good, more } => (good, more),
                Answer::Nothing => break,
                // What was no event would be none if it were asked for by its name.
                Answer::Nonsense => return Ok(true),
                Answer::Away => {
                    answers = false;
                    break;
                }
            };
            let before = gathered.len();
            gathered.extend(found.into_iter().map(|pdu| (pdu.event_id().to_owned(), pdu)));
            if !more || gathered.len() == before || gathered.len() >= GATHERED_MAX {
                break;
            }
            let absent = self.absent_parents(room, pdu, &gathered).await?;
            if absent.is_empty() {
                break;
            }
            let open = gathered
                .values()
                .filter(|pdu| pdu.prev_events().iter().any(|id| absent.contains(id)));
            latest = open.map(|pdu| pdu.event_id().to_owned()).take(ASKED_MAX as usize).collect();
        }
        let absent = self.absent_parents(room, pdu, &gathered).await?;
        for gap in absent.iter().take(GAPS_MAX) {
            answers &= self.fill_gap(origin, room, rules, gap).await?;
        }
        let gathered: Vec<Pdu> = gathered.into_values().collect();
        let old = self.depth_of_gaps(room).await?;
        for event in order::topological(&gathered) {
            let is_news = absent.is_empty() && event.depth() >= old;
            let mut standing = self.take_gathered(room, &event, is_news).await?;
            if let Standing::Missing(Missing { prev, auth }) = &standing
                && prev.is_empty()
                && !auth.is_empty()
            {
                self.gather_auth_events(origin, room, rules, &event).await?;
                standing = self.take_gathered(room, &event, is_news).await?;
            }
            tracing::debug!(event = %event.event_id(), ?standing, "a missing event");
        }
        Ok(answers)
    }

    /// An event of those between. Where they reach what we have they are news, in their order.
    /// Where they do not, or may lie before something that we have, they are history: they get
    /// their places when a gap is filled, and not at the end, behind what was said later. Above all
    /// they are no tips: the room's state would be merged with one that it has left behind.
    async fn take_gathered(
        &self,
        room: &RoomId,
        event: &Pdu,
        is_news: bool,
    ) -> Result<Standing, RoomsError> {
        if is_news {
            return self.take_event(room, event, Way::Live, None).await;
        }
        Box::pin(self.take_past(room, event)).await
    }

    /// Parents of the event and of what was gathered that nobody has.
    async fn absent_parents(
        &self,
        room: &RoomId,
        pdu: &Pdu,
        gathered: &BTreeMap<OwnedEventId, Pdu>,
    ) -> Result<BTreeSet<OwnedEventId>, RoomsError> {
        let parents = gathered.values().chain([pdu]).flat_map(|pdu| pdu.prev_events().to_vec());
        let parents: BTreeSet<OwnedEventId> =
            parents.filter(|id| !gathered.contains_key(id)).collect();
        let parents: Vec<OwnedEventId> = parents.into_iter().collect();
        let known = self.with_state(room, &parents).await?;
        Ok(parents.into_iter().filter(|id| !known.contains(id)).collect())
    }

    /// Those of the events that are stored with the state at them.
    pub(crate) async fn with_state(
        &self,
        room: &RoomId,
        ids: &[OwnedEventId],
    ) -> Result<BTreeSet<OwnedEventId>, RoomsError> {
        let mut lane = self.lane(room).await?;
        let batch = Appending::new(self, lane.room()?);
        let numbers = batch.numbers_by_id(ids).await?;
        let nos: Vec<_> = numbers.iter().map(|(_, no)| *no).collect();
        let stored = batch.stored(&nos).await?;
        let known = stored.into_iter().filter(|(_, stored)| !stored.state_after.is_empty());
        Ok(known.map(|(_, stored)| stored.event_id).collect())
    }

    /// One request for the events before some, up to those that we have.
    async fn missing_events(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        latest: &[OwnedEventId],
    ) -> Result<Answer, RoomsError> {
        let tips = self.lane(room).await?.room()?.head.tips.clone();
        let earliest: Vec<_> =
            tips.into_iter().map(|tip| tip.event_id).take(order::PREV_EVENTS_MAX).collect();
        let mut request =
            get_missing_events::v1::Request::new(room.to_owned(), earliest, latest.to_vec());
        request.limit = UInt::from(ASKED_MAX);
        let answer = match self.federation().call(origin, request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%origin, %room, %error, "missing events cannot be had");
                return Ok(match error {
                    FederationError::BadAnswer(_) => Answer::Nonsense,
                    error if error.is_final() => Answer::Nothing,
                    _ => Answer::Away,
                });
            }
        };
        let events: Vec<_> = answer.events.into_iter().take(2 * ASKED_MAX as usize).collect();
        if events.is_empty() {
            return Ok(Answer::Nothing);
        }
        if events.iter().any(|raw| Unverified::parse(raw, rules).is_err()) {
            tracing::debug!(%origin, %room, "a missing event is none");
            return Ok(Answer::Nonsense);
        }
        // Who has more gives as much as it was asked for.
        let more = events.len() >= ASKED_MAX as usize;
        self.note_strangers(origin, room, &events).await?;
        Ok(Answer::Events { good: self.check_events(room, events, rules).await.good, more })
    }

    /// Everything that an event rests on. Whether the other server answered.
    pub(crate) async fn gather_auth_events(
        &self,
        origin: &ServerName,
        room: &RoomId,
        rules: &RoomVersionRules,
        pdu: &Pdu,
    ) -> Result<bool, RoomsError> {
        let id = pdu.event_id().to_owned();
        let request = get_event_authorization::v1::Request::new(room.to_owned(), id);
        let answer = match self.federation().call(origin, request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%origin, %room, %error, "auth events cannot be had");
                return Ok(error.is_final());
            }
        };
        let chain = answer.auth_chain.into_iter().take(AUTH_EVENTS_MAX).collect();
        let chain = self.check_events(room, chain, rules).await.good;
        self.store_outliers(room, &chain).await?;
        Ok(true)
    }

    /// Store events that another server told us of.
    pub(crate) async fn store_outliers(
        &self,
        room: &RoomId,
        events: &[Pdu],
    ) -> Result<(), RoomsError> {
        let mut lane = self.lane(room).await?;
        let mut batch = Appending::new(self, lane.room()?);
        if let Err(error) = batch.take_outliers(events).await {
            drop(batch);
            lane.release().forget();
            return Err(error);
        }
        if batch.write.is_empty() {
            return Ok(());
        }
        let write = batch.finish();
        lane.commit(self.data(), write).await?;
        Ok(())
    }
}
