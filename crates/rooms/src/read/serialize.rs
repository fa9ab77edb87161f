//! The one place where events become what a client gets: the event itself, and in `unsigned` what
//! depends on the reader (client-server API, "Room event format").

mod desk;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use blaupause_data::{Event, One, Part, ReadSet};
use blaupause_graph::EventNo;
use ruma::{DeviceId, OwnedRoomId, RoomId, UserId};
use serde_json::value::RawValue;

use self::desk::{Desk, Sent};
use super::{
    Reader, RoomAccess,
    bundle::{self, Family},
    visibility::JoinedUntil,
};
use crate::{
    Rooms, RoomsError,
    rows::{EventDelayRow, EventTxnRow},
};

/// A page to be told to somebody.
struct Page<'a> {
    reader: Reader,
    part: Part,
    room: Option<OwnedRoomId>,
    /// `None`: to be looked up if it matters.
    joined_until: Option<JoinedUntil>,
    room_id: &'a RoomId,
    events: &'a [Arc<Event>],
    /// Nothing in the room is newer than these, and none between them is left out.
    is_newest: bool,
}

impl RoomAccess {
    /// Events of this room as the reader sees them, in the order given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn serialize_page(
        &self,
        events: &[Arc<Event>],
    ) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let page = Page {
            reader: self.reader.clone(),
            part: self.part,
            room: Some(self.room.clone()),
            joined_until: Some(self.joined_until()),
            room_id: &self.room,
            events,
            is_newest: false,
        };
        self.rooms.tell(page).await
    }

    /// State events as the reader sees them: without what only matters in a timeline.
    pub(crate) fn serialize_state(&self, events: &[Arc<Event>]) -> Vec<Box<RawValue>> {
        let now_ms = self.rooms.data().env().now_millis();
        let plain = events.iter().map(|event| desk::for_everybody(event, &self.room, now_ms));
        plain.collect()
    }
}

impl Rooms {
    /// Events in the form of sync answers: without `room_id`, with `unsigned` for the reader.
    /// Which events the user may see is the caller's care: [`Rooms::visible_events`].
    ///
    /// `is_newest` says that nothing in the room is newer than these events and that none between
    /// them is left out: then what relates to one of them is among them, and need not be looked
    /// for.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn serialize_for_sync(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        room: &RoomId,
        events: &[Arc<Event>],
        is_newest: bool,
    ) -> Result<Vec<Box<RawValue>>, RoomsError> {
        let page = Page {
            reader: Reader::new(user.to_owned(), device.map(ToOwned::to_owned)),
            part: self.data().parts().room(room),
            room: None,
            joined_until: None,
            room_id: room,
            events,
            is_newest,
        };
        self.tell(page).await
    }

    /// One round trip for relations and transactions; one for events that are referred to and not
    /// cached; one more where there are threads.
    async fn tell(&self, page: Page<'_>) -> Result<Vec<Box<RawValue>>, RoomsError> {
        if page.events.is_empty() {
            return Ok(Vec::new());
        }
        let (family, sent) = self.relations_of(&page, page.events).await?;
        let mut desk = Desk {
            now_ms: self.data().env().now_millis(),
            room: page.room.clone(),
            events: HashMap::new(),
            sent,
            lens: self
                .lens(
                    &page.reader.user,
                    page.part,
                    page.joined_until.unwrap_or(JoinedUntil::Never),
                    page.events,
                )
                .await?,
            ignored: self.accounts().ignored_users(&page.reader.user).await?,
            reader: page.reader.clone(),
            family,
        };
        self.fetch_others(&page, page.events, &mut desk).await?;
        let latest: Vec<_> = desk.latest_in_threads(page.events);
        if !latest.is_empty() {
            let (family, sent) = self.relations_of(&page, &latest).await?;
            desk.family.extend(family);
            desk.sent.extend(sent);
            self.fetch_others(&page, &latest, &mut desk).await?;
        }
        Ok(page.events.iter().map(|event| desk.tell(event)).collect())
    }

    /// Children of events, and the transactions of those that the reader sent.
    async fn relations_of(
        &self,
        page: &Page<'_>,
        events: &[Arc<Event>],
    ) -> Result<(Family, HashMap<EventNo, Sent>), RoomsError> {
        let mut want = ReadSet::new();
        // State events have no bundles (client-server API, "Aggregations of child events").
        let targets: Vec<_> =
            events.iter().filter(|event| event.state_key.is_none()).map(|event| event.no).collect();
        // Whatever relates to an event comes after it.
        let is_childless = page.is_newest
            && !events.iter().any(|event| event.stored.pdu.contains("\"m.relates_to\""));
        let known = if is_childless || targets.is_empty() {
            Some(Arc::default())
        } else {
            self.families().get(self.data(), page.part, &targets)
        };
        let asked = match &known {
            Some(_) => None,
            None => Some(bundle::ask(&mut want, page.part, &targets)),
        };
        let own = self.ask_how_sent(&mut want, page, events);
        let version = self.data().newest_event(page.part);
        let got = want.run(self.data()).await?;
        let mut sent = HashMap::new();
        for (no, txn, delay) in own {
            let txn = got.one(txn)?.map(|row| row.value);
            let delay = delay.map(|delay| got.one(delay)).transpose()?.flatten();
            if txn.is_some() || delay.is_some() {
                sent.insert(no, Sent { txn, delay: delay.map(|row| row.value) });
            }
        }
        let family = match (known, asked) {
            (Some(known), _) => (*known).clone(),
            (None, Some(asked)) => {
                let family = self.family(page.part, asked, &got).await?;
                if let Some(version) = version {
                    self.families().put(page.part, targets, version, family.clone());
                }
                family
            }
            (None, None) => Family::new(),
        };
        Ok((family, sent))
    }

    /// Ask how events of the reader's own were sent.
    fn ask_how_sent(
        &self,
        want: &mut ReadSet,
        page: &Page<'_>,
        events: &[Arc<Event>],
    ) -> Vec<(EventNo, One<EventTxnRow>, Option<One<EventDelayRow>>)> {
        if page.reader.device.is_none() {
            return Vec::new();
        }
        let has_delays = self.settings().delayed.is_some();
        let own = events.iter().filter(|event| event.sender == page.reader.user);
        own.map(|event| {
            let delay = has_delays.then(|| want.get::<EventDelayRow>(page.part, &event.no));
            (event.no, want.get::<EventTxnRow>(page.part, &event.no), delay)
        })
        .collect()
    }

    /// Load the events that `events` refer to, and learn whether the reader may see them.
    async fn fetch_others(
        &self,
        page: &Page<'_>,
        events: &[Arc<Event>],
        desk: &mut Desk,
    ) -> Result<(), RoomsError> {
        let wanted: BTreeSet<EventNo> = events
            .iter()
            .flat_map(|event| {
                let stored = &event.stored;
                let replaced = stored.replaces.filter(|_| event.state_key.is_some());
                let children = desk.family.get(&event.no).into_iter().flat_map(|c| c.needed());
                stored.redacted_by.into_iter().chain(replaced).chain(children)
            })
            .filter(|no| !desk.events.contains_key(no))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = wanted.into_iter().map(|no| (page.part, no)).collect();
        let found: Vec<_> = self.data().events(&wanted).await?.into_iter().flatten().collect();
        self.widen(&mut desk.lens, &found).await?;
        if page.joined_until.is_none() && !found.iter().all(|event| desk.lens.sees(event)) {
            let until = self.joined_until(&page.reader.user, page.room_id).await?;
            desk.lens.set_joined_until(until);
        }
        desk.events.extend(found.into_iter().map(|event| (event.no, event)));
        Ok(())
    }
}
