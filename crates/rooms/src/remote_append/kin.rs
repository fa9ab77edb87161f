//! What this room knows of an event and of those that it names.

use blaupause_data::{
    DataError, Order, ReadSet,
    rows::{EventNoRow, EventRow, StoredEvent},
};
use blaupause_graph::{EventNo, Pdu, StateRoot};
use ruma::{EventId, OwnedEventId};

use super::Way;
use crate::{RoomsError, append::Appending, load::pdu_of, relates::relation_in, rows::LateRow};

/// Events that pointed at an event before it was there; further ones are not looked at.
const LATE_MAX: u32 = 100;

/// A parent and the state after it.
pub(crate) struct Parent {
    pub no: EventNo,
    pub state: StateRoot,
    /// It has no place in the timeline.
    pub is_hidden: bool,
    pub prev: Vec<EventNo>,
}

/// Events that have to be known before another one can be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Parents, or the state at them.
    pub prev: Vec<OwnedEventId>,
    pub auth: Vec<OwnedEventId>,
}

/// An event's relatives, as far as they are known here.
pub(crate) struct Kin {
    /// The event itself, if it is stored.
    pub known: Option<(EventNo, StoredEvent)>,
    /// Its auth events, in the order in which it names them.
    pub auth: Vec<(EventNo, Pdu)>,
    pub parents: Vec<Parent>,
    /// What it relates to, or redacts.
    pub target: Option<EventNo>,
    /// Events that relate to it or redact it, and came before it.
    pub late: Vec<EventNo>,
    missing: Missing,
}

impl Kin {
    /// Whether it was judged before. What was only told as part of a state was not.
    pub(crate) fn has_standing(&self) -> bool {
        self.known.as_ref().is_some_and(|(_, stored)| has_standing(stored))
    }

    pub(crate) fn missing(&self, way: Way) -> Option<Missing> {
        let mut missing = self.missing.clone();
        if way != Way::Live {
            missing.prev.clear();
        }
        (missing != Missing::default()).then_some(missing)
    }
}

/// Whether a stored event was judged where it stands.
pub(crate) fn has_standing(stored: &StoredEvent) -> bool {
    stored.rejected || stored.soft_failed || !stored.state_after.is_empty()
}

impl Appending<'_> {
    /// Look up the event and its relatives: one round trip, and one more if they are not those
    /// that everybody names.
    pub(crate) async fn kin_of(&mut self, pdu: &Pdu) -> Result<Kin, RoomsError> {
        let (part, data) = (self.part(), self.rooms.data());
        let parts = data.parts();
        let hash = |id: &EventId| parts.hash16(id.as_str());
        let mut want = ReadSet::new();
        let own = want.get::<EventNoRow>(part, &hash(pdu.event_id()));
        let late = want.prefix::<LateRow>(part, &hash(pdu.event_id()), Order::Forward, LATE_MAX);
        let target = target_of(pdu).map(|id| want.get::<EventNoRow>(part, &hash(&id)));
        let at_hand: Vec<_> = pdu.auth_events().iter().map(|id| self.at_hand(id)).collect();
        let mut ask = |id: &OwnedEventId, is_known: bool| {
            (!is_known).then(|| want.get::<EventNoRow>(part, &hash(id)))
        };
        let auth: Vec<_> =
            pdu.auth_events().iter().zip(&at_hand).map(|(id, at)| ask(id, at.is_some())).collect();
        let tips: Vec<_> = pdu.prev_events().iter().map(|id| self.tip(id)).collect();
        let prev: Vec<_> =
            pdu.prev_events().iter().zip(&tips).map(|(id, tip)| ask(id, tip.is_some())).collect();
        let got = want.run(data).await?;
        let number = |slot| -> Result<Option<EventNo>, DataError> {
            match slot {
                Some(slot) => Ok(got.one::<EventNoRow>(slot)?.map(|row| row.value)),
                None => Ok(None),
            }
        };
        let own = number(Some(own))?;
        let late = got.many(late)?.rows.into_iter().map(|((_, no), _)| no).collect();
        let target = match number(target)? {
            Some(target) => Some(target),
            None => target_of(pdu).and_then(|id| self.together.number(&id)),
        };
        let auth = auth.into_iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let prev = prev.into_iter().map(number).collect::<Result<Vec<_>, _>>()?;

        let read: Vec<EventNo> = prev.iter().flatten().copied().chain(own).collect();
        let stored = self.stored(&read).await?;
        let find = |no: EventNo| stored.iter().find(|(at, _)| *at == no);
        let mut missing = Missing::default();
        let mut parents = Vec::new();
        for ((id, tip), no) in pdu.prev_events().iter().zip(tips).zip(prev) {
            let found = no.and_then(find).filter(|(_, stored)| !stored.state_after.is_empty());
            match tip.or_else(|| found.map(|(no, stored)| parent(*no, stored))) {
                Some(parent) => parents.push(parent),
                None => missing.prev.push(id.clone()),
            }
        }
        let known = own.and_then(find).cloned();
        let auth = self.auth_events(pdu, at_hand, &auth, &mut missing).await?;
        Ok(Kin { known, auth, parents, target, late, missing })
    }

    async fn auth_events(
        &self,
        pdu: &Pdu,
        at_hand: Vec<Option<(EventNo, Pdu)>>,
        numbers: &[Option<EventNo>],
        missing: &mut Missing,
    ) -> Result<Vec<(EventNo, Pdu)>, RoomsError> {
        let wanted: Vec<_> = numbers.iter().flatten().map(|no| (self.part(), *no)).collect();
        let mut events = self.rooms.data().events(&wanted).await?.into_iter();
        let mut auth = Vec::new();
        for ((id, at_hand), no) in pdu.auth_events().iter().zip(at_hand).zip(numbers) {
            let found = match (at_hand, no) {
                (Some(found), _) => Some(found),
                (None, Some(no)) => match events.next().flatten() {
                    Some(event) => Some((*no, pdu_of(&event, &self.hot.rules)?)),
                    None => None,
                },
                (None, None) => None,
            };
            match found {
                Some(found) => auth.push(found),
                None => missing.auth.push(id.clone()),
            }
        }
        Ok(auth)
    }

    /// Stored events by number, straight from the store: those that have no place yet change.
    pub(crate) async fn stored(
        &self,
        numbers: &[EventNo],
    ) -> Result<Vec<(EventNo, StoredEvent)>, RoomsError> {
        let part = self.part();
        let keys = numbers.iter().map(|no| (part, no));
        let rows = self.rooms.data().get_many::<EventRow>(keys).await?;
        Ok(numbers
            .iter()
            .zip(rows)
            .filter_map(|(no, row)| {
                let row = row?;
                let place = row.value.place.map(|place| place.settled(row.pos));
                Some((*no, StoredEvent { place, ..row.value }))
            })
            .collect())
    }

    /// An event of the current state, if it was looked up.
    pub(super) fn at_hand(&self, id: &EventId) -> Option<(EventNo, Pdu)> {
        let known = self.changed.values().chain(self.hot.state.iter().map(|(_, known)| known));
        let mut events = known.filter_map(|known| known.event.as_ref());
        events.find(|(_, pdu)| pdu.event_id() == id).cloned()
    }

    /// A tip of the room, or an event of the batch.
    fn tip(&self, id: &EventId) -> Option<Parent> {
        let tip = self.head.tips.iter().find(|tip| *tip.event_id == *id);
        let tip = tip.map(|tip| Parent {
            no: tip.no,
            state: tip.state,
            is_hidden: false,
            prev: Vec::new(),
        });
        tip.or_else(|| self.together.parent(id))
    }
}

fn parent(no: EventNo, stored: &StoredEvent) -> Parent {
    let is_hidden = stored.place.is_none();
    Parent { no, state: stored.state_after, is_hidden, prev: stored.prev.clone() }
}

/// What an event relates to, or redacts.
fn target_of(pdu: &Pdu) -> Option<OwnedEventId> {
    if let Some(redacts) = pdu.redacts() {
        return Some(redacts.to_owned());
    }
    if pdu.state_key().is_some() {
        return None;
    }
    relation_in(pdu.content()).map(|(_, target)| target)
}
