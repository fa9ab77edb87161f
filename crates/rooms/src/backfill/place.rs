//! Where history goes.

use std::ops::Bound;

use blaupause_data::{Order, Part, Place, ReadSet, rows::TimelineRow};

use crate::{Rooms, RoomsError};

impl Rooms {
    /// The place directly below an entry, if there is room for one. Below the first entry of all
    /// there always is; above another one only so much as an entry behind a gap has left.
    pub(super) async fn place_below(
        &self,
        part: Part,
        entry: Place,
    ) -> Result<Option<Place>, RoomsError> {
        let mut want = ReadSet::new();
        let (none, hi) = (Bound::Unbounded::<&Place>, Bound::Excluded(&entry));
        let slot = want.range::<TimelineRow>(part, none, hi, Order::Backward, 1);
        let lower = want.run(self.data()).await?.many(slot)?.rows.into_iter().next();
        Ok(match lower {
            None if entry.position().is_some() => Some(Place::history(0)),
            None => entry.below(),
            Some((lower, _)) => entry.below().filter(|place| lower < *place),
        })
    }
}
