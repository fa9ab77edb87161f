//! Sticky events (MSC4354): for a while after they were sent every member is told of them, also
//! who joins later and whose timeline has a gap.
//!
//! A sticky event is an event like any other, and a row of its room beside it. Memory knows which
//! rooms have any that have not ended, so that the others cost a reader nothing.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use blaupause_data::{DIRECTORY, Event, Order, Part, Place, ReadSet, StreamPos};
use blaupause_graph::{EventNo, Pdu, sticky};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};
use tokio::sync::OnceCell;

use crate::{
    Rooms, RoomsError,
    append::Appending,
    rows::{StickyEvent, StickyEventRow, StickyRoomRow},
};

/// Rooms that are remembered to have sticky events.
const ROOMS_MAX: u32 = 1_000_000;
/// Rows of one room that one answer looks at.
const LOOK_MAX: u32 = 1_000;
/// Events that have ended and are removed together with the next one.
const ENDED_AT_ONCE_MAX: u32 = 100;

/// Rooms with sticky events, and when the last of them ends.
#[derive(Default)]
pub(crate) struct StickyRooms(OnceCell<Mutex<HashMap<OwnedRoomId, u64>>>);

/// Which sticky events are asked for.
#[derive(Clone, Debug)]
pub struct StickyQuery {
    /// Rooms that the reader is in, and since when: who joins is told of all that have not ended.
    pub rooms: Vec<(OwnedRoomId, StreamPos)>,
    /// Only those after it; `None`: all.
    pub since: Option<StreamPos>,
    pub until: StreamPos,
    /// How many; events of one moment are not torn apart.
    pub limit: usize,
}

/// Sticky events that have not ended, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct StickyPage {
    pub rooms: BTreeMap<OwnedRoomId, Vec<Arc<Event>>>,
    /// Up to where they are told, if that is not the end: ask again from here.
    pub cut: Option<StreamPos>,
}

/// One entry of a page: when the reader has to be told of it, and what.
type Entry<'a> = (StreamPos, &'a OwnedRoomId, Part, EventNo);

impl Rooms {
    /// The sticky events of rooms. At most one round trip, and one for the events.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn sticky_events(&self, query: &StickyQuery) -> Result<StickyPage, RoomsError> {
        let now_ms = self.data().env().now_millis();
        let live: Vec<_> = {
            let known = self.sticky_rooms().await?.lock();
            let is_live = |room| known.get(room).is_some_and(|until| *until > now_ms);
            query.rooms.iter().filter(|(room, _)| is_live(room)).collect()
        };
        if live.is_empty() {
            return Ok(StickyPage::default());
        }
        let mut want = ReadSet::new();
        let slots: Vec<_> = live
            .into_iter()
            .map(|(room, entered)| {
                let part = self.data().parts().room(room);
                let since = query.since.filter(|since| entered <= since).map(Place::after);
                let from = since.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let to = Place::after(query.until);
                let rows = want.range::<StickyEventRow>(
                    part,
                    from,
                    Bound::Included(&to),
                    Order::Forward,
                    LOOK_MAX,
                );
                (room, *entered, part, rows)
            })
            .collect();
        let got = want.run(self.data()).await?;
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut cut: Option<StreamPos> = None;
        for (room, entered, part, slot) in slots {
            let page = got.many(slot)?;
            // A member is told of what was there before them when they enter.
            let told_at = |place: &Place| place.position().unwrap_or_default().max(entered);
            if let (true, Some((last, _))) = (page.more, page.rows.last()) {
                let last = told_at(last);
                cut = Some(cut.map_or(last, |cut| cut.min(last)));
            }
            let live = page.rows.iter().filter(|(_, row)| row.until_ms > now_ms);
            entries.extend(live.map(|(place, row)| (told_at(place), room, part, row.no)));
        }
        entries.retain(|(at, ..)| cut.is_none_or(|cut| *at <= cut));
        entries.sort_by_key(|(at, room, _, no)| (*at, *room, *no));
        cut = cut_at(&mut entries, query.limit).or(cut);
        self.sticky_page(entries, cut).await
    }

    async fn sticky_page(
        &self,
        entries: Vec<Entry<'_>>,
        cut: Option<StreamPos>,
    ) -> Result<StickyPage, RoomsError> {
        let wanted: Vec<_> = entries.iter().map(|(_, _, part, no)| (*part, *no)).collect();
        let events = self.data().events(&wanted).await?;
        let mut page = StickyPage { cut, ..StickyPage::default() };
        for ((_, room, ..), event) in entries.into_iter().zip(events) {
            // A redaction takes the stickiness away.
            let shown = event.filter(|event| {
                event.sticky_ms().is_some() && !event.stored.rejected && !event.stored.soft_failed
            });
            if let Some(event) = shown {
                page.rooms.entry(room.clone()).or_default().push(event);
            }
        }
        Ok(page)
    }

    /// What is known of rooms with sticky events; read when it is needed first.
    async fn sticky_rooms(&self) -> Result<&Mutex<HashMap<OwnedRoomId, u64>>, RoomsError> {
        let load = || async {
            let rows = self.data().list_all::<StickyRoomRow>(DIRECTORY, &(), ROOMS_MAX).await?;
            let rows = rows.rows.into_iter().map(|(room, row)| (room, row.value));
            Ok(Mutex::new(rows.collect()))
        };
        self.sticky_memory().0.get_or_try_init(load).await
    }

    async fn sticky_until(&self, room: &RoomId) -> Result<Option<u64>, RoomsError> {
        Ok(self.sticky_rooms().await?.lock().get(room).copied())
    }
}

impl Appending<'_> {
    /// Note a sticky event with the batch that appends it, and remove those that have ended.
    pub(crate) async fn write_sticky(
        &mut self,
        pdu: &Pdu,
        no: EventNo,
        place: Place,
    ) -> Result<(), RoomsError> {
        let Some(duration_ms) = pdu.sticky_ms() else { return Ok(()) };
        let (rooms, part) = (self.rooms, self.part());
        let now_ms = rooms.data().env().now_millis();
        let until_ms = sticky::until_ms(now_ms, pdu.origin_server_ts().get().into(), duration_ms);
        if until_ms <= now_ms {
            return Ok(());
        }
        let room = self.head.room_id.clone();
        let known = rooms.sticky_until(&room).await?;
        if known.is_some() {
            let old = rooms.data().list::<StickyEventRow>(part, &(), ENDED_AT_ONCE_MAX).await?;
            for (place, _) in old.rows.iter().filter(|(_, row)| row.until_ms <= now_ms) {
                self.write.del::<StickyEventRow>(part, place);
            }
        }
        let last = known.map_or(until_ms, |known| known.max(until_ms));
        self.write.put::<StickyEventRow>(part, &place, &StickyEvent { no, until_ms });
        self.write.put::<StickyRoomRow>(DIRECTORY, &room, &last);
        // A batch that fails leaves the room known for nothing: that costs a look.
        rooms.sticky_rooms().await?.lock().insert(room, last);
        Ok(())
    }
}

/// Keep so many entries, but all of the last moment; says which moment that is, if there were
/// others after it.
fn cut_at(entries: &mut Vec<Entry<'_>>, limit: usize) -> Option<StreamPos> {
    let (last, ..) = *entries.get(limit.max(1) - 1)?;
    let kept = entries.partition_point(|(at, ..)| *at <= last);
    if kept == entries.len() {
        return None;
    }
    entries.truncate(kept);
    Some(last)
}
