//! What comes late, or only now, may lie before something that is here. Then it is history: no tip,
//! and shown where it belongs. Whether it is shows when the gaps above it are filled.

use std::ops::Bound;

use blaupause_data::{
    Order, Place, ReadSet,
    rows::{GapRow, TimelineRow},
};
use blaupause_graph::Pdu;
use futures_util::future::BoxFuture;
use ruma::RoomId;

use super::Gap;
use crate::{Rooms, RoomsError, serve::depth_of};

/// Gaps of a room that are looked at, the newest ones.
const GAPS_MAX: u32 = 50;
/// How often gaps are filled for one event, each time by about a hundred.
const ROUNDS_MAX: usize = 5;

/// A gap, and how deep the event behind it is: what is not less deep does not lie in it.
struct Deep {
    gap: Gap,
    depth: u64,
}

impl Rooms {
    /// The newest gaps, oldest first. Three round trips, one if there are none.
    async fn deep_gaps(&self, room: &RoomId) -> Result<Vec<Deep>, RoomsError> {
        let part = self.data().parts().room(room);
        let mut want = ReadSet::new();
        let all = Bound::Unbounded::<&Place>;
        let slot = want.range::<GapRow>(part, all, all, Order::Backward, GAPS_MAX);
        let gaps = want.run(self.data()).await?.many(slot)?.rows;
        if gaps.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.data().get_many::<TimelineRow>(gaps.iter().map(|(at, _)| (part, at)));
        let gaps = gaps.iter().zip(entries.await?).filter_map(|(gap, entry)| Some((gap, entry?)));
        let (gaps, numbers): (Vec<_>, Vec<_>) =
            gaps.map(|(gap, entry)| (gap, (part, entry.value.no))).unzip();
        let events = self.data().events(&numbers).await?;
        let deep = gaps.into_iter().zip(events).rev().filter_map(|((below, row), event)| {
            let gap = Gap { below: *below, absent: row.value.clone() };
            Some(Deep { gap, depth: depth_of(&*event?) })
        });
        Ok(deep.collect())
    }

    /// The depth below which an event may lie before something that is here.
    pub(crate) async fn depth_of_gaps(&self, room: &RoomId) -> Result<u64, RoomsError> {
        let gaps = self.deep_gaps(room).await?;
        Ok(gaps.into_iter().map(|deep| deep.depth).max().unwrap_or(0))
    }

    /// Find out where an event belongs that may lie before something that is here: afterwards it is
    /// known and has its place, or it is news, as far as others could tell.
    pub(crate) async fn look_behind(&self, room: &RoomId, pdu: &Pdu) -> Result<(), RoomsError> {
        let gaps = self.deep_gaps(room).await?;
        if gaps.iter().any(|deep| deep.gap.absent.iter().any(|id| id == pdu.event_id())) {
            let standing = self.take_past(room, pdu).await?;
            tracing::debug!(event = %pdu.event_id(), ?standing, "an event of the past");
        }
        self.lower_first(room, pdu.depth()).await?;
        for _ in 0..ROUNDS_MAX {
            let gaps = self.deep_gaps(room).await?;
            let Some(deep) = gaps.into_iter().find(|deep| deep.depth > pdu.depth()) else { break };
            if !self.fill_unasked(room, &deep.gap).await? {
                break;
            }
        }
        Ok(())
    }

    /// Read what was before we came, down to a depth: what is not less deep and belongs there has
    /// its place then.
    pub(super) fn lower_first<'a>(
        &'a self,
        room: &'a RoomId,
        depth: u64,
    ) -> BoxFuture<'a, Result<(), RoomsError>> {
        Box::pin(async move {
            for _ in 0..ROUNDS_MAX {
                let Some(first) = self.first_place(room).await? else { break };
                let mut gaps = self.deep_gaps(room).await?.into_iter();
                let gap = gaps.find(|deep| deep.gap.below == first && deep.depth > depth);
                let Some(Deep { gap, .. }) = gap else { break };
                tracing::debug!(%room, depth, absent = ?gap.absent, "what was before we came is read");
                if !self.fill_unasked(room, &gap).await? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Some of the events that lead up to a gap may have come before we did: they belong before the
    /// first event here, and not behind it. Whether nothing is left that belongs into the gap.
    pub(super) async fn put_into_the_first(
        &self,
        room: &RoomId,
        gap: &Gap,
        events: &[Pdu],
    ) -> Result<bool, RoomsError> {
        let Some(depth) = events.iter().map(Pdu::depth).min() else { return Ok(false) };
        if self.first_place(room).await? == Some(gap.below) {
            return Ok(false);
        }
        tracing::debug!(%room, depth, absent = ?gap.absent, "a gap may reach back before we came");
        self.lower_first(room, depth).await?;
        self.in_turn(|| Box::pin(self.put_nothing(room, gap.below))).await
    }
}
