//! Events of other servers join a room (server-server API, "Checks performed on receipt of a
//! PDU", steps 4 to 6; the first three made a [`Pdu`] of it).
//!
//! One event is one batch, or several that go on where the room is ([`many`]). It is judged by its
//! own auth events, by the state before it, and by the current state; by that it becomes part of
//! the timeline, or is stored and never shown. What follows from it for the current state may be
//! more than the event itself: several branches are merged, and then keys change that it never
//! named.

mod difference;
mod effects;
mod judge;
mod kin;
mod late;
mod many;
mod merge;
mod once;

use std::{borrow::Cow, collections::BTreeSet};

use blaupause_data::{
    Change,
    rows::{StoredEvent, Tip},
};
use blaupause_graph::{EventNo, Pdu, StateRoot, order};

pub(crate) use kin::{Kin, Missing, Parent, has_standing};
pub(crate) use many::Together;
pub(crate) use once::InboxKey;

use ruma::events::StateEventType;

use crate::{RoomsError, append::Appending, hot::Known, outliers::is_create, recommend::Advice};
use judge::Verdict;

/// Tips of a room. An event that would be one more is shown, but is no tip; whoever writes next
/// joins the others.
const TIPS_MAX: usize = 50;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Part of the timeline now.
    Live,
    /// Stored with its state, and not shown: told by another server to fill a gap.
    Aside,
    /// Allowed where it was sent, but not by the room as it is now: stored, never shown.
    SoftFailed(String),
    /// Never allowed: stored, never shown.
    Rejected(String),
    /// It was here before.
    Known,
    /// Nothing was done: these have to be known first.
    Missing(Missing),
}

/// How an event comes into the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// After its parents, which are known.
    Live,
    /// Its parents are not known, and will not be: another server told the state before it.
    Aside(StateRoot),
}

impl Appending<'_> {
    /// Let an event whose signatures are checked join the room.
    pub(crate) async fn take(&mut self, pdu: &Pdu, way: Way) -> Result<Standing, RoomsError> {
        let kin = self.kin_of(pdu).await?;
        self.take_as(pdu, way, kin).await
    }

    /// As [`Appending::take`], with what is known of its relatives.
    async fn take_as(&mut self, pdu: &Pdu, way: Way, kin: Kin) -> Result<Standing, RoomsError> {
        if kin.has_standing() {
            return Ok(Standing::Known);
        }
        if self.is_the_beginning(pdu).await? {
            let is_new = self.stand_at_the_beginning(pdu).await?;
            return Ok(if is_new { Standing::Aside } else { Standing::Known });
        }
        if let Some(missing) = kin.missing(way) {
            return Ok(Standing::Missing(missing));
        }
        let before = match way {
            Way::Live => {
                let states: Vec<_> = kin.parents.iter().map(|parent| parent.state).collect();
                self.merged(&states).await?
            }
            Way::Aside(told) => told,
        };
        // Otherwise the state is told as a whole, and believed as it is.
        let is_after_parents = kin.missing(Way::Live).is_none();
        let before =
            if is_after_parents { self.believed(pdu, &kin, before).await? } else { before };
        let verdict = self.judge(pdu, &kin, before).await?;
        let advice = match (&verdict, way) {
            (Verdict::Allowed, Way::Live) => self.advice(pdu).await?,
            _ => Advice::Take(Cow::Borrowed(pdu)),
        };
        let (verdict, pdu) = match advice {
            Advice::Take(pdu) => (verdict, pdu),
            Advice::Leave(why) => (Verdict::SoftFailed(why), Cow::Borrowed(pdu)),
        };
        let pdu = &*pdu;
        match (verdict, way) {
            (Verdict::Rejected(why), _) => {
                self.set_aside(pdu, &kin, before, true).await?;
                Ok(Standing::Rejected(why))
            }
            (Verdict::SoftFailed(why), Way::Live) => {
                self.set_aside(pdu, &kin, before, false).await?;
                Ok(Standing::SoftFailed(why))
            }
            (Verdict::SoftFailed(_) | Verdict::Allowed, Way::Aside(_)) => {
                let (no, mut stored) = self.stand(pdu, &kin, before).await?;
                stored.soft_failed = false;
                self.write_standing(no, &stored, &kin);
                Ok(Standing::Aside)
            }
            (Verdict::Allowed, Way::Live) => {
                self.join(pdu, &kin, before).await?;
                Ok(Standing::Live)
            }
        }
    }

    /// Whether this is the create event of the room. Nothing about it is to be judged.
    async fn is_the_beginning(&mut self, pdu: &Pdu) -> Result<bool, RoomsError> {
        if !is_create(pdu) {
            return Ok(false);
        }
        let name = (StateEventType::RoomCreate, String::new());
        self.look_up(std::slice::from_ref(&name)).await?;
        let create = self.state(&name.0, &name.1);
        Ok(create.is_some_and(|create| create.event_id() == pdu.event_id()))
    }

    /// Store an event that is never shown.
    async fn set_aside(
        &mut self,
        pdu: &Pdu,
        kin: &Kin,
        before: StateRoot,
        rejected: bool,
    ) -> Result<(), RoomsError> {
        let (no, stored) = if rejected {
            let no = self.number_of(kin);
            let stored = StoredEvent { rejected, ..plain(pdu, kin, before) };
            (no, stored)
        } else {
            let (no, stored) = self.stand(pdu, kin, before).await?;
            (no, StoredEvent { soft_failed: true, ..stored })
        };
        self.write_standing(no, &stored, kin);
        Ok(())
    }

    /// The event's number, and what is stored of it: what it changes in the state before it.
    pub(crate) async fn stand(
        &mut self,
        pdu: &Pdu,
        kin: &Kin,
        before: StateRoot,
    ) -> Result<(EventNo, StoredEvent), RoomsError> {
        let no = self.number_of(kin);
        let mut stored = plain(pdu, kin, before);
        let Some(name) = pdu.state_name() else { return Ok((no, stored)) };
        let known = self.view().known(&name).cloned().unwrap_or_default();
        let key = match known.number {
            Some(key) => key,
            None => {
                let key = self.number_key(&name);
                self.know(name, Known { number: Some(key), event: known.event.clone() });
                key
            }
        };
        stored.replaces = if before == self.head.state {
            known.event.map(|(no, _)| no)
        } else {
            self.state_get(before, &[key]).await?.pop().flatten()
        };
        stored.state_after = self.set_state(before, &[(key, Some(no))]).await?;
        if kin.known.is_none() {
            self.write_auth(no, &stored.auth);
        }
        self.fresh.push((no, pdu.clone()));
        Ok((no, stored))
    }

    /// The event becomes part of the timeline, and the room's current state follows.
    async fn join(&mut self, pdu: &Pdu, kin: &Kin, before: StateRoot) -> Result<(), RoomsError> {
        let (no, mut stored) = self.stand(pdu, kin, before).await?;
        let was = self.head.state;
        let replaced = self.in_its_place(pdu);
        self.add_tip(pdu, no, stored.state_after, &kin.parents).await?;
        let states: Vec<_> = self.head.tips.iter().map(|tip| tip.state).collect();
        self.head.state = self.merged(&states).await?;
        self.follow_difference(was, self.head.state).await?;
        self.note_effects(pdu, no, replaced).await?;
        let is_behind_gap = kin.parents.iter().any(|parent| parent.is_hidden);
        let absent =
            if is_behind_gap { self.without_place(pdu.prev_events()).await? } else { Vec::new() };
        let place = self.next_place(&absent);
        stored.place = Some(place);
        self.come_late(pdu, no, &mut stored, kin).await?;
        self.write_standing(no, &stored, kin);
        self.write_place_behind(no, place, &absent);
        if stored.redacted_by.is_none() {
            self.write_sticky(pdu, no, place).await?;
            self.point_at_target(pdu, no, place, kin).await?;
        }
        let room = self.head.room_id.clone();
        self.write.change(&Change::Event { room, no });
        Ok(())
    }

    /// The event as it stands from now on, and that it stands.
    pub(crate) fn write_standing(&mut self, no: EventNo, stored: &StoredEvent, kin: &Kin) {
        self.write_event(no, stored);
        self.together.note(no, stored);
        if kin.missing(Way::Live).is_none() && !kin.has_standing() {
            self.note_partial(no);
        }
        if kin.known.is_some() {
            // It was read before, as part of another server's state.
            self.write.change(&Change::Redacted { room: self.head.room_id.clone(), no });
        }
    }

    fn number_of(&mut self, kin: &Kin) -> EventNo {
        if let Some((no, _)) = &kin.known {
            return *no;
        }
        let no = self.head.next_event;
        self.head.next_event.0 += 1;
        no
    }

    /// The room's tips with a new one, without those that it follows.
    pub(crate) async fn add_tip(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        state: StateRoot,
        parents: &[Parent],
    ) -> Result<(), RoomsError> {
        let covered = self.covered_by(parents).await?;
        let tips = &mut self.head.tips;
        tips.retain(|tip| !covered.contains(&tip.no));
        if tips.len() < TIPS_MAX {
            let event_id = pdu.event_id().to_owned();
            tips.push(Tip { no, event_id, depth: pdu.depth(), state });
        }
        Ok(())
    }

    /// The parents, and where one of them is not shown, what it followed: it is no tip, but what
    /// comes after it comes after those, too.
    async fn covered_by(&mut self, parents: &[Parent]) -> Result<BTreeSet<EventNo>, RoomsError> {
        let mut covered: BTreeSet<EventNo> = parents.iter().map(|parent| parent.no).collect();
        let hidden = parents.iter().filter(|parent| parent.is_hidden);
        let mut open: Vec<EventNo> = hidden.flat_map(|parent| parent.prev.clone()).collect();
        for _ in 0..HIDDEN_STEPS_MAX {
            open.retain(|no| covered.insert(*no));
            if open.is_empty() {
                break;
            }
            let found = self.stored(&open).await?;
            let hidden = found.into_iter().filter(|(_, stored)| stored.place.is_none());
            open = hidden.flat_map(|(_, stored)| stored.prev).collect();
        }
        Ok(covered)
    }
}

/// Generations of events that are not shown which are looked through for tips.
const HIDDEN_STEPS_MAX: usize = 20;

/// An event that changes nothing.
fn plain(pdu: &Pdu, kin: &Kin, before: StateRoot) -> StoredEvent {
    debug_assert!(pdu.prev_events().len() <= order::PREV_EVENTS_MAX);
    StoredEvent {
        event_id: pdu.event_id().to_owned(),
        place: None,
        state_before: before,
        state_after: before,
        auth: kin.auth.iter().map(|(no, _)| *no).collect(),
        prev: kin.parents.iter().map(|parent| parent.no).collect(),
        rejected: false,
        soft_failed: false,
        redacted_by: None,
        replaces: None,
        pdu: pdu.json().to_owned(),
    }
}
