//! Events that point at others: relations and redactions. What they point at may come later.

use std::sync::Arc;

use blaupause_data::{Event, Place, rows::StoredEvent};
use blaupause_graph::{EventNo, Pdu, may_redact};
use ruma::events::StateEventType;

use super::kin::Kin;
use crate::{
    RoomsError,
    append::Appending,
    hot::StateName,
    load::pdu_of,
    redact::never_redacted,
    relates::{Relation, relation_in},
    rows::LateRow,
};

/// What decides whether a redaction has an effect.
pub(super) fn powers() -> [StateName; 2] {
    [StateEventType::RoomCreate, StateEventType::RoomPowerLevels].map(|kind| (kind, String::new()))
}

impl Appending<'_> {
    /// An event that was just accepted does what it says to the event that it points at, or waits
    /// for it.
    pub(crate) async fn point_at_target(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        place: Place,
        kin: &Kin,
    ) -> Result<(), RoomsError> {
        if let Some(redacts) = pdu.redacts() {
            match kin.target {
                Some(target) if target != no => return self.redact_target(pdu, no, target).await,
                Some(_) => {}
                None => self.wait_for(redacts.as_str(), no),
            }
        } else if let (None, Some((rel_type, id))) = (pdu.state_key(), relation_in(pdu.content())) {
            match kin.target {
                Some(target) => self.write_relation(no, place, Relation { target, rel_type }),
                None => self.wait_for(id.as_str(), no),
            }
        }
        Ok(())
    }

    pub(crate) fn wait_for(&mut self, target: &str, no: EventNo) {
        let hash = self.rooms.data().parts().hash16(target);
        self.together.note_awaited(target);
        self.write.put::<LateRow>(self.part(), &(hash, no), &());
    }

    async fn redact_target(
        &mut self,
        redaction: &Pdu,
        no: EventNo,
        target: EventNo,
    ) -> Result<(), RoomsError> {
        let Some(target) = self.rooms.data().event(self.part(), target).await? else {
            return Ok(());
        };
        let pdu = pdu_of(&target, &self.hot.rules)?;
        self.look_up(&powers()).await?;
        let rules = self.hot.rules.clone();
        let allowed = may_redact(redaction, &pdu, &self.view(), &rules);
        if allowed && !never_redacted(&pdu) {
            self.take_content(&target, &pdu, no).await?;
        }
        Ok(())
    }

    /// Events that pointed at this one before it came: now they have their effect.
    pub(crate) async fn come_late(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        stored: &mut StoredEvent,
        kin: &Kin,
    ) -> Result<(), RoomsError> {
        if kin.late.is_empty() {
            return Ok(());
        }
        let part = self.part();
        let hash = self.rooms.data().parts().hash16(pdu.event_id().as_str());
        let wanted: Vec<_> = kin.late.iter().map(|no| (part, *no)).collect();
        let events = self.rooms.data().events(&wanted).await?;
        for late in &kin.late {
            self.write.del::<LateRow>(part, &(hash, *late));
        }
        for event in events.into_iter().flatten() {
            let pointer = pdu_of(&event, &self.hot.rules)?;
            let Some(place) = event.place else { continue };
            if pointer.redacts() == Some(pdu.event_id()) {
                self.redacted_by_late(pdu, &event, &pointer, stored).await?;
            } else if let Some((rel_type, id)) = relation_in(pointer.content())
                && id == *pdu.event_id()
            {
                self.write_relation(event.no, place, Relation { target: no, rel_type });
            }
        }
        Ok(())
    }

    async fn redacted_by_late(
        &mut self,
        pdu: &Pdu,
        redaction: &Arc<Event>,
        pointer: &Pdu,
        stored: &mut StoredEvent,
    ) -> Result<(), RoomsError> {
        self.look_up(&powers()).await?;
        let state = self.state_events_in(redaction.stored.state_before, &powers()).await?;
        let rules = self.hot.rules.clone();
        if stored.redacted_by.is_none()
            && !never_redacted(pdu)
            && may_redact(pointer, pdu, &state, &rules)
        {
            stored.pdu = pdu.redacted(&rules)?.json().to_owned();
            stored.redacted_by = Some(redaction.no);
        }
        Ok(())
    }
}
