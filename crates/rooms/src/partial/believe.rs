//! While most members of a room are not known, an event is believed to be right about those it
//! names.

use blaupause_graph::{EventNo, Pdu, StateKeyNo, StateRoot, state_needed};
use ruma::events::StateEventType;

use crate::{
    RoomsError,
    append::Appending,
    hot::{Known, StateName},
    remote_append::Kin,
};

impl Appending<'_> {
    /// The state before an event, with the members that it rests on and that nobody told us of:
    /// as its own auth events say. What the state says itself counts more, bans above all. The
    /// same state where the room is whole.
    pub(crate) async fn believed(
        &mut self,
        pdu: &Pdu,
        kin: &Kin,
        before: StateRoot,
    ) -> Result<StateRoot, RoomsError> {
        if !self.is_partial() {
            return Ok(before);
        }
        let rules = self.hot.rules.clone();
        let (kind, sender, key) = (pdu.kind(), pdu.sender(), pdu.state_key());
        let Ok(needed) = state_needed(kind, sender, key, pdu.content(), &rules) else {
            return Ok(before);
        };
        let members: Vec<StateName> =
            needed.into_iter().filter(|(kind, _)| *kind == StateEventType::RoomMember).collect();
        let said = claimed(&members, &kin.auth);
        if said.is_empty() {
            return Ok(before);
        }
        let names: Vec<StateName> = said.iter().map(|(name, _)| name.clone()).collect();
        self.look_up(&names).await?;
        let keys: Vec<StateKeyNo> = names.iter().map(|name| self.key_of(name)).collect();
        let here = self.state_get(before, &keys).await?;
        let absent = keys.into_iter().zip(here).zip(said).filter(|((_, here), _)| here.is_none());
        let changes: Vec<_> = absent.map(|((key, _), (_, no))| (key, Some(no))).collect();
        if changes.is_empty() {
            return Ok(before);
        }
        self.set_state(before, &changes).await
    }

    /// Whether an event is allowed where it and the state before it do not agree about somebody:
    /// both may be wrong while most members are not known, so it is asked what they make up
    /// together. Nothing of that remains. Otherwise whoever was removed wrongly could not even go.
    pub(crate) async fn is_allowed_by_claims(
        &mut self,
        pdu: &Pdu,
        kin: &Kin,
        needed: &[StateName],
        before: StateRoot,
    ) -> Result<bool, RoomsError> {
        if !self.is_partial() {
            return Ok(false);
        }
        let members: Vec<StateName> = needed
            .iter()
            .filter(|(kind, _)| *kind == StateEventType::RoomMember)
            .cloned()
            .collect();
        let said = claimed(&members, &kin.auth);
        let said: Vec<_> = said.into_iter().map(|(name, no)| (self.key_of(&name), no)).collect();
        let keys: Vec<StateKeyNo> = said.iter().map(|(key, _)| *key).collect();
        let here = self.state_get(before, &keys).await?;
        let other = said.iter().zip(here).filter(|((_, no), here)| *here != Some(*no));
        let changes: Vec<_> = other.map(|((key, no), _)| (*key, Some(*no))).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        let claims = self.set_state(before, &changes).await?;
        let both = self.merged(&[before, claims]).await?;
        Ok(self.judge_at(pdu, needed, both).await?.is_none())
    }

    /// The number of a state key that was looked up.
    pub(super) fn key_of(&mut self, name: &StateName) -> StateKeyNo {
        let known = self.view().known(name).cloned().unwrap_or_default();
        known.number.unwrap_or_else(|| {
            let key = self.number_key(name);
            self.know(name.clone(), Known { number: Some(key), event: known.event });
            key
        })
    }
}

/// Members that an event needs, as its auth events say. Pure.
fn claimed(needed: &[StateName], auth: &[(EventNo, Pdu)]) -> Vec<(StateName, EventNo)> {
    let of = |name: &StateName| {
        let mut events = auth.iter().filter(|(_, pdu)| !pdu.rejected());
        events.find(|(_, pdu)| pdu.state_name().as_ref() == Some(name)).map(|(no, _)| *no)
    };
    needed.iter().filter_map(|name| Some((name.clone(), of(name)?))).collect()
}
