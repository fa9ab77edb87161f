//! The rows of one event: itself, its place in the timeline, what it relates to.

use blaupause_data::{
    Place,
    rows::{
        EventNoRow, EventRoomRow, EventRow, GapRow, RelationRow, StoredEvent, TimelineEntry,
        TimelineRow,
    },
};
use blaupause_graph::EventNo;
use ruma::OwnedEventId;

use super::Appending;
use crate::{
    relates::{Relation, THREAD},
    rows::{ThreadReply, ThreadReplyRow},
};

impl Appending<'_> {
    /// The event, and where to find it.
    pub(crate) fn write_event(&mut self, no: EventNo, stored: &StoredEvent) {
        let parts = self.rooms.data().parts();
        let part = self.hot.part;
        let id = &stored.event_id;
        self.write.put::<EventRow>(part, &no, stored);
        self.write.put::<EventNoRow>(part, &parts.hash16(id.as_str()), &no);
        self.write.put::<EventRoomRow>(parts.event(id), id, &self.head.room_id);
    }

    /// The event's entry in the timeline; the head has the room's state after it.
    pub(crate) fn write_place(&mut self, no: EventNo, place: Place) {
        self.write_place_behind(no, place, &Vec::new());
    }

    /// The next place of the timeline; behind a gap, if events before it are absent.
    pub(crate) fn next_place(&mut self, absent: &[OwnedEventId]) -> Place {
        let index = self.index;
        self.index += 1;
        if absent.is_empty() { Place::now(index) } else { Place::now_behind_gap(index) }
    }

    /// As [`Appending::write_place`], where events directly before this one are absent.
    pub(crate) fn write_place_behind(
        &mut self,
        no: EventNo,
        place: Place,
        absent: &Vec<OwnedEventId>,
    ) {
        let gap = !absent.is_empty();
        let entry = TimelineEntry { no, state: self.head.state, gap };
        self.write.put::<TimelineRow>(self.hot.part, &place, &entry);
        if gap {
            self.write.put::<GapRow>(self.hot.part, &place, absent);
        }
    }

    pub(crate) fn write_relation(&mut self, no: EventNo, place: Place, relation: Relation) {
        let Relation { target, rel_type } = relation;
        if rel_type == THREAD {
            let reply = ThreadReply { no, root: target };
            self.write.put::<ThreadReplyRow>(self.hot.part, &place, &reply);
        }
        self.write.put::<RelationRow>(self.hot.part, &(target, rel_type, place), &no);
    }
}
