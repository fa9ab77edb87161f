//! Events as read back, with a cache: they never change, except by redaction.

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_graph::{EventNo, sticky};
use blaupause_store::Part;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    Change, Data, DataError, Found, Place, ReadSet,
    rows::{EventRow, StoredEvent},
};

/// Events kept in memory (about 2 kB each).
const CACHED_EVENTS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");

/// A stored event with what readers ask for most.
#[derive(Debug)]
pub struct Event {
    pub no: EventNo,
    /// Where in the timeline, with its real position.
    pub place: Option<Place>,
    pub stored: StoredEvent,
    pub sender: OwnedUserId,
    pub kind: String,
    pub state_key: Option<String>,
    pub origin_server_ts: u64,
    content: Box<RawValue>,
    redacts: Option<Box<RawValue>>,
    sticky: Option<Box<RawValue>>,
}

/// The fields of a PDU that clients see. The rest is between servers.
#[derive(Deserialize)]
struct PduView<'a> {
    #[serde(rename = "type")]
    kind: String,
    sender: OwnedUserId,
    state_key: Option<String>,
    origin_server_ts: u64,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
    #[serde(borrow, rename = "msc4354_sticky")]
    sticky: Option<&'a RawValue>,
}

/// An event as clients see it.
#[derive(Serialize)]
struct ClientEvent<'a, U> {
    content: &'a RawValue,
    event_id: &'a EventId,
    #[serde(rename = "msc4354_sticky", skip_serializing_if = "Option::is_none")]
    sticky: Option<&'a RawValue>,
    origin_server_ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a RawValue>,
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<U>,
}

impl Event {
    /// Whether the room's messages are kept for a shorter time than this one is old: it has no
    /// content any more and is shown to nobody. Such an event is its own redaction.
    pub fn is_expired(&self) -> bool {
        self.stored.redacted_by == Some(self.no)
    }

    fn from_row(no: EventNo, row: Found<StoredEvent>) -> Result<Self, DataError> {
        let damaged = |_| DataError::Damaged("evt/e: PDU".into());
        let pdu: PduView<'_> = serde_json::from_str(&row.value.pdu).map_err(damaged)?;
        let redacts = redacts_field(&pdu).map(ToOwned::to_owned);
        let content = pdu.content.to_owned();
        let sticky = pdu.sticky.map(ToOwned::to_owned);
        let PduView { kind, sender, state_key, origin_server_ts, .. } = pdu;
        let place = row.value.place.map(|place| place.settled(row.pos));
        let stored = row.value;
        Ok(Self {
            no,
            place,
            stored,
            sender,
            kind,
            state_key,
            origin_server_ts,
            content,
            redacts,
            sticky,
        })
    }

    /// The event's content, as JSON text.
    pub fn content(&self) -> &RawValue {
        &self.content
    }

    /// The content as a type; `None` if it does not have that shape.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content.get()).ok()
    }

    /// How long it was sent to be sticky (MSC4354), in milliseconds; `None` once it is redacted.
    pub fn sticky_ms(&self) -> Option<u64> {
        sticky::duration_ms(self.sticky.as_deref()?)
    }

    /// The event as clients see it (spec: client-server API, "Room event format").
    ///
    /// `room` is left out where the endpoint's answer already says the room (sync). `unsigned`
    /// becomes a JSON object, usually different for every reader; `None` for no such field.
    ///
    /// # Panics
    /// If `unsigned` cannot be JSON.
    pub fn client_json<U: Serialize>(
        &self,
        room: Option<&OwnedRoomId>,
        unsigned: Option<U>,
    ) -> Box<RawValue> {
        let event = ClientEvent {
            content: &self.content,
            event_id: &self.stored.event_id,
            sticky: self.sticky.as_deref(),
            origin_server_ts: self.origin_server_ts,
            redacts: self.redacts.as_deref(),
            sender: &self.sender,
            state_key: self.state_key.as_deref(),
            r#type: &self.kind,
            room_id: room.map(|room| &**room),
            unsigned,
        };
        to_raw_value(&event).expect("an event is JSON")
    }
}

/// Room version 11 moved `redacts` into the content; clients get it at the top level too
/// (spec: room version 11, "Redactions", client considerations).
fn redacts_field<'a>(pdu: &PduView<'a>) -> Option<&'a RawValue> {
    #[derive(Deserialize)]
    struct Redaction<'a> {
        #[serde(borrow)]
        redacts: Option<&'a RawValue>,
    }
    if pdu.kind != "m.room.redaction" {
        return None;
    }
    let inner = || serde_json::from_str::<Redaction<'a>>(pdu.content.get()).ok()?.redacts;
    pdu.redacts.or_else(inner)
}

/// Recently read events.
pub(crate) struct EventCache(Mutex<LruCache<(Part, EventNo), Arc<Event>>>);

impl EventCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_EVENTS_MAX)))
    }

    /// A redaction changes its target in place: forget the old form.
    pub(crate) fn forget_changed(&self, data: &Data, changes: &[Change]) {
        for change in changes {
            if let Change::Redacted { room, no } = change {
                self.0.lock().pop(&(data.parts().room(room), *no));
            }
        }
    }
}

impl Data {
    /// One event of a room.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn event(&self, room: Part, no: EventNo) -> Result<Option<Arc<Event>>, DataError> {
        Ok(self.events(&[(room, no)]).await?.pop().flatten())
    }

    /// Events in the order asked, in at most one round trip. `None` for those that do not exist.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn events(
        &self,
        wanted: &[(Part, EventNo)],
    ) -> Result<Vec<Option<Arc<Event>>>, DataError> {
        let mut found: Vec<Option<Arc<Event>>> = {
            let mut cache = self.event_cache().0.lock();
            wanted.iter().map(|key| cache.get(key).cloned()).collect()
        };
        let mut want = ReadSet::new();
        let absent: Vec<_> = wanted
            .iter()
            .enumerate()
            .filter(|(index, _)| found[*index].is_none())
            .map(|(index, (room, no))| (index, *room, *no, want.get::<EventRow>(*room, no)))
            .collect();
        if absent.is_empty() {
            return Ok(found);
        }
        let epoch = self.redactions();
        let got = want.run(self).await?;
        for (index, room, no, slot) in absent {
            let Some(row) = got.one(slot)? else { continue };
            let event = Arc::new(Event::from_row(no, row)?);
            // A redaction between the read and here would make the cached form a stale one.
            if self.redactions() == epoch {
                self.event_cache().0.lock().put((room, no), Arc::clone(&event));
            }
            found[index] = Some(event);
        }
        Ok(found)
    }
}
