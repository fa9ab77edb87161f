//! May an event of another server be part of the room?

use std::collections::HashMap;

use blaupause_graph::{
    EventNo, Pdu, Refusal, StateRoot, authorize, authorize_by_auth_events, state_needed,
};
use ruma::{
    EventId,
    events::{StateEventType, TimelineEventType},
};

use super::kin::Kin;
use crate::{RoomsError, append::Appending, hot::StateName, load::pdu_of};

/// What the rules say.
pub(crate) enum Verdict {
    Allowed,
    SoftFailed(String),
    Rejected(String),
}

impl Appending<'_> {
    /// Ask three times: by its auth events, by the state before it, by the current state. What the
    /// rules need of the current state, and the event's own key, are looked up afterwards.
    pub(crate) async fn judge(
        &mut self,
        pdu: &Pdu,
        kin: &Kin,
        before: StateRoot,
    ) -> Result<Verdict, RoomsError> {
        let needed = match self.judge_alone(pdu, &kin.auth).await? {
            Ok(needed) => needed,
            Err(why) => return Ok(Verdict::Rejected(why)),
        };
        let is_partial = self.is_partial();
        if (is_partial || before != self.head.state)
            && let Some(why) = self.judge_at(pdu, &needed, before).await?
            && !self.is_allowed_by_claims(pdu, kin, &needed, before).await?
        {
            return Ok(Verdict::Rejected(why));
        }
        if is_partial {
            // The current state lacks most members: it refuses nobody.
            return Ok(Verdict::Allowed);
        }
        let rules = self.hot.rules.clone();
        let by_current = refused(authorize(pdu, &self.view(), &rules))?;
        Ok(match by_current {
            None => Verdict::Allowed,
            Some(why) if before == self.head.state => Verdict::Rejected(why),
            Some(why) => Verdict::SoftFailed(why),
        })
    }

    /// What the event and its auth events say without any state: what the rules need of a state, or
    /// why they refuse. What they need, and the event's own key, are looked up afterwards.
    pub(crate) async fn judge_alone(
        &mut self,
        pdu: &Pdu,
        auth: &[(EventNo, Pdu)],
    ) -> Result<Result<Vec<StateName>, String>, RoomsError> {
        let rules = self.hot.rules.clone();
        let (kind, sender) = (pdu.kind(), pdu.sender());
        let needed = match state_needed(kind, sender, pdu.state_key(), pdu.content(), &rules) {
            Ok(needed) => needed,
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        let all: Vec<_> = needed.iter().cloned().chain(pdu.state_name()).collect();
        self.look_up(&all).await?;
        if *kind == TimelineEventType::RoomCreate {
            return Ok(Err("the room has its create event".to_owned()));
        }
        if pdu.prev_events().is_empty() {
            return Ok(Err("it follows no event".to_owned()));
        }
        let create = self.state(&StateEventType::RoomCreate, "");
        let fetch = |id: &EventId| {
            let auth = auth.iter().map(|(_, pdu)| pdu);
            auth.chain(&create).find(|pdu| pdu.event_id() == id).cloned()
        };
        Ok(match refused(authorize_by_auth_events(pdu, fetch, &rules))? {
            Some(why) => Err(why),
            None => Ok(needed),
        })
    }

    /// Why a state refuses an event. `needed` was looked up.
    pub(crate) async fn judge_at(
        &mut self,
        pdu: &Pdu,
        needed: &[StateName],
        root: StateRoot,
    ) -> Result<Option<String>, RoomsError> {
        let state = self.state_events_in(root, needed).await?;
        refused(authorize(pdu, &state, &self.hot.rules))
    }

    /// Events of a state that is not the current one; their keys were looked up.
    pub(crate) async fn state_events_in(
        &mut self,
        root: StateRoot,
        names: &[StateName],
    ) -> Result<HashMap<StateName, Pdu>, RoomsError> {
        let view = self.view();
        let keys = names.iter().filter_map(|name| Some((name, view.known(name)?.number?)));
        let (names, keys): (Vec<&StateName>, Vec<_>) = keys.unzip();
        let found = self.state_get(root, &keys).await?;
        let wanted: Vec<EventNo> = found.iter().flatten().copied().collect();
        let mut events = self.pdus(&wanted).await?.into_iter();
        let mut state = HashMap::new();
        for (name, no) in names.into_iter().zip(found) {
            if let Some(pdu) = no.and_then(|_| events.next()) {
                state.insert(name.clone(), pdu);
            }
        }
        Ok(state)
    }

    /// Events by number, those of this batch too, in the order asked.
    pub(crate) async fn pdus(&self, numbers: &[EventNo]) -> Result<Vec<Pdu>, RoomsError> {
        let fresh = |no: EventNo| self.fresh.iter().find(|(at, _)| *at == no);
        let stored = numbers.iter().filter(|no| fresh(**no).is_none());
        let wanted: Vec<_> = stored.map(|no| (self.part(), *no)).collect();
        let mut events = self.rooms.data().events(&wanted).await?.into_iter();
        let absent = || blaupause_data::DataError::Damaged("evt/e: absent".into());
        numbers
            .iter()
            .map(|no| match fresh(*no) {
                Some((_, pdu)) => Ok(pdu.clone()),
                None => pdu_of(&*events.next().flatten().ok_or_else(absent)?, &self.hot.rules),
            })
            .collect()
    }
}

/// Why the rules refuse; a fault of ours is no refusal.
fn refused(decision: Result<(), Refusal>) -> Result<Option<String>, RoomsError> {
    match decision {
        Ok(()) => Ok(None),
        Err(Refusal::NotAllowed(why)) => Ok(Some(why)),
        Err(corrupt @ Refusal::Corrupt(_)) => Err(corrupt.into()),
        Err(other) => Ok(Some(other.to_string())),
    }
}
