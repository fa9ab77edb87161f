//! Events that wait join the room together: as many as go into one batch.
//!
//! Each is judged as if those before it were stored already. What the batch says of the room is at
//! hand for that (head, current state, state tree); what it says of events that nobody names by
//! the current state is not, so an event for which that matters waits for the next batch.

use std::collections::{BTreeSet, HashMap, HashSet};

use blaupause_data::{DataError, LIMITS, rows::StoredEvent};
use blaupause_graph::{EventNo, Pdu, StateRoot};
use ruma::{EventId, OwnedEventId, RoomId};

use super::{InboxKey, Kin, Parent, Standing, Way};
use crate::{Rooms, RoomsError, append::Appending, rows::InboxRow};

/// A batch that is larger takes no further event. Leaves room for one, and for what follows from
/// it; see [`Appending::commit_if_large`].
const TOGETHER_OPS_MAX: usize = LIMITS.batch_ops_max / 4;
const TOGETHER_BYTES_MAX: usize = LIMITS.batch_bytes_max / 4;

/// Events of a batch that may take several.
#[derive(Default)]
pub(crate) struct Together {
    /// How the events stand.
    stand: Option<HashMap<OwnedEventId, Stand>>,
    /// Events that one of the batch points at, and that nobody knows.
    awaited: HashSet<String>,
    /// Events that are complete.
    count: usize,
}

struct Stand {
    no: EventNo,
    state: StateRoot,
    is_hidden: bool,
    prev: Vec<EventNo>,
}

impl Together {
    /// Further events may come into the batch.
    fn begin(&mut self) {
        self.stand = Some(HashMap::new());
    }

    /// Whether the batch has events that are complete: they must not be committed without the
    /// room's head.
    pub(super) fn has_some(&self) -> bool {
        self.count > 0
    }

    pub(super) fn note(&mut self, no: EventNo, stored: &StoredEvent) {
        let Some(stand) = &mut self.stand else { return };
        let (state, prev) = (stored.state_after, stored.prev.clone());
        let is_hidden = stored.place.is_none();
        stand.insert(stored.event_id.clone(), Stand { no, state, is_hidden, prev });
    }

    pub(super) fn note_awaited(&mut self, target: &str) {
        if self.stand.is_some() {
            self.awaited.insert(target.to_owned());
        }
    }

    fn get(&self, id: &EventId) -> Option<&Stand> {
        self.stand.as_ref()?.get(id)
    }

    pub(super) fn number(&self, id: &EventId) -> Option<EventNo> {
        self.get(id).map(|stand| stand.no)
    }

    pub(super) fn parent(&self, id: &EventId) -> Option<Parent> {
        let Stand { no, state, is_hidden, prev } = self.get(id)?;
        Some(Parent { no: *no, state: *state, is_hidden: *is_hidden, prev: prev.clone() })
    }

    fn has(&self, id: &EventId) -> bool {
        self.get(id).is_some()
    }
}

/// What came of an attempt to take several.
enum Tried {
    Taken(Vec<Standing>),
    /// The one after so many stopped it: they are taken without it.
    StoppedAfter(usize),
}

/// What became of an event, and whether another one may follow in the batch.
struct Step {
    standing: Standing,
    is_last: bool,
}

impl Rooms {
    /// Let events of the inbox join the room, in the order in which they are to be judged: says
    /// what became of the first ones, as many as went into one batch, but at least one. Durable
    /// when this returns, with their inbox rows gone. Only the last one may lack something.
    ///
    /// # Errors
    /// The first one cannot be judged, or the store failed.
    pub(crate) async fn take_events(
        &self,
        room: &RoomId,
        events: &[(InboxKey, &Pdu)],
    ) -> Result<Vec<Standing>, RoomsError> {
        let mut events = events;
        loop {
            match self.in_turn(|| Box::pin(self.try_take_some(room, events))).await? {
                Tried::Taken(standings) => return Ok(standings),
                Tried::StoppedAfter(count) => events = &events[..count],
            }
        }
    }

    async fn try_take_some(
        &self,
        room: &RoomId,
        events: &[(InboxKey, &Pdu)],
    ) -> Result<Tried, RoomsError> {
        let mut lane = self.lane(room).await?;
        let part = lane.room()?.part;
        let mut batch = Appending::new(self, lane.room()?);
        batch.together.begin();
        let (mut standings, mut keys) = (Vec::new(), Vec::new());
        for (key, pdu) in events {
            let step = match Box::pin(batch.take_next(pdu)).await {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    // A part of the first one may be durable.
                    drop(batch);
                    lane.release().forget();
                    let count = standings.len();
                    return if count == 0 { Err(error) } else { Ok(Tried::StoppedAfter(count)) };
                }
            };
            if !matches!(step.standing, Standing::Missing(_)) {
                batch.write.del::<InboxRow>(part, key);
                keys.push(*key);
            }
            standings.push(step.standing);
            if step.is_last {
                break;
            }
        }
        if batch.together.has_some() {
            let write = batch.finish();
            lane.commit(self.data(), write).await?;
        } else {
            drop(batch);
            drop(lane);
            self.forget_inbox(room, &keys).await?;
        }
        Ok(Tried::Taken(standings))
    }
}

impl Appending<'_> {
    /// Let a further event join the room in this batch; `None` if it has to wait for the next.
    async fn take_next(&mut self, pdu: &Pdu) -> Result<Option<Step>, RoomsError> {
        let is_first = !self.together.has_some();
        if !is_first && self.names_what_is_not_at_hand(pdu) {
            return Ok(None);
        }
        let kin = self.kin_of(pdu).await?;
        let is_plain = self.is_plain(pdu, &kin);
        let needs_nothing = kin.has_standing() || kin.missing(Way::Live).is_some();
        if !is_first && !is_plain && !needs_nothing {
            return Ok(None);
        }
        let standing = self.take_as(pdu, Way::Live, kin).await?;
        let (judged, is_missing) = match standing {
            Standing::Missing(_) => (false, true),
            Standing::Known => (false, false),
            _ => (true, false),
        };
        self.together.count += usize::from(judged);
        let is_full = self.write.len() > TOGETHER_OPS_MAX
            || self.write.size_bytes() > TOGETHER_BYTES_MAX
            || self.forgetful;
        Ok(Some(Step { standing, is_last: is_missing || is_full || judged && !is_plain }))
    }

    /// Whether the event is one of the batch, or means an event of the batch in a way that only
    /// the store can answer.
    fn names_what_is_not_at_hand(&self, pdu: &Pdu) -> bool {
        let batch = &self.together;
        batch.has(pdu.event_id())
            || batch.awaited.contains(pdu.event_id().as_str())
            || pdu.redacts().is_some()
            || pdu.auth_events().iter().any(|id| batch.has(id) && self.at_hand(id).is_none())
    }

    /// Whether the event goes on where the room is, and changes nothing but the room's state.
    fn is_plain(&self, pdu: &Pdu, kin: &Kin) -> bool {
        let goes_on =
            kin.parents.iter().all(|parent| !parent.is_hidden && parent.state == self.head.state);
        let parents: BTreeSet<EventNo> = kin.parents.iter().map(|parent| parent.no).collect();
        let is_alone = self.head.tips.iter().all(|tip| parents.contains(&tip.no));
        let merges_nothing = pdu.state_key().is_none() || is_alone;
        let is_new = kin.known.is_none() && kin.late.is_empty();
        goes_on && merges_nothing && is_new && pdu.redacts().is_none() && !self.is_partial()
    }

    /// The batch can only be committed as a whole, or with one event alone.
    pub(super) fn must_be_whole(&self) -> Result<(), RoomsError> {
        if self.together.has_some() { Err(DataError::TooLarge.into()) } else { Ok(()) }
    }
}
