//! History that was told along with something else, and has no place yet: nobody has to be asked.

use std::collections::BTreeSet;

use blaupause_data::rows::StoredEvent;
use blaupause_graph::{Pdu, order};
use ruma::{OwnedEventId, RoomId, room_version_rules::RoomVersionRules};

use super::{Gap, below::is_done};
use crate::{Rooms, RoomsError, append::Appending, remote_append::has_standing};

/// Events of one gap that are looked for at once.
const EVENTS_MAX: usize = 200;

impl Rooms {
    /// Judged events that lead up to a gap, oldest first.
    pub(super) async fn history_at_hand(
        &self,
        room: &RoomId,
        rules: &RoomVersionRules,
        gap: &Gap,
    ) -> Result<Vec<Pdu>, RoomsError> {
        let mut lane = self.lane(room).await?;
        let batch = Appending::new(self, lane.room()?);
        let mut seen: BTreeSet<OwnedEventId> = BTreeSet::new();
        let mut open = gap.absent.clone();
        let mut found: Vec<Pdu> = Vec::new();
        while !open.is_empty() && found.len() < EVENTS_MAX {
            open.retain(|id| seen.insert(id.clone()));
            let numbers = batch.numbers_by_id(&open).await?;
            let numbers: Vec<_> = numbers.iter().map(|(_, no)| *no).collect();
            let waiting = batch.stored(&numbers).await?.into_iter();
            let waiting = waiting.filter(|(_, stored)| waits_for_its_place(stored));
            let events = waiting.map(|(_, stored)| {
                Pdu::from_stored(stored.pdu, stored.event_id, rules).map_err(RoomsError::from)
            });
            let events = events.collect::<Result<Vec<Pdu>, RoomsError>>()?;
            open = events.iter().flat_map(|pdu| pdu.prev_events().to_vec()).collect();
            found.extend(events);
        }
        Ok(order::topological(&found))
    }
}

/// Whether an event was judged where it stands, and may be shown, but was not placed.
fn waits_for_its_place(stored: &StoredEvent) -> bool {
    has_standing(stored) && !is_done(stored)
}
