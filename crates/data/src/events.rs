//! Events as read back, with a cache: they never change, except by redaction.

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
};

use blaupause_graph::EventNo;
use blaupause_store::Part;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::value::RawValue;

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
    client: OnceLock<String>,
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
}

impl Event {
    fn from_row(no: EventNo, row: Found<StoredEvent>) -> Result<Self, DataError> {
        let damaged = |_| DataError::Damaged("evt/e: PDU".into());
        let pdu: PduView<'_> = serde_json::from_str(&row.value.pdu).map_err(damaged)?;
        let PduView { kind, sender, state_key, origin_server_ts, .. } = pdu;
        let place = row.value.place.map(|place| place.settled(row.pos));
        let client = OnceLock::new();
        let stored = row.value;
        Ok(Self { no, place, stored, sender, kind, state_key, origin_server_ts, client })
    }

    /// The event's content, as JSON text.
    pub fn content(&self) -> &RawValue {
        let pdu: PduView<'_> =
            serde_json::from_str(&self.stored.pdu).expect("was parsed when the event was read");
        pdu.content
    }

    /// The content as a type; `None` if it does not have that shape.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content().get()).ok()
    }

    /// The event as clients see it (spec: client-server API, "Room event format").
    ///
    /// `room` is left out where the endpoint's answer already says the room (sync). `unsigned`
    /// is a JSON object, usually different for every reader, or `None` for no such field.
    pub fn client_json(&self, room: Option<&OwnedRoomId>, unsigned: Option<&str>) -> Box<RawValue> {
        let base = self.client.get_or_init(|| self.client_base());
        let mut json = String::with_capacity(base.len() + 256);
        json.push_str(base);
        if let Some(room) = room {
            json.push_str(",\"room_id\":");
            push_text(&mut json, room.as_str());
        }
        if let Some(unsigned) = unsigned {
            json.push_str(",\"unsigned\":");
            json.push_str(unsigned);
        }
        json.push('}');
        RawValue::from_string(json).expect("is put together from JSON values")
    }

    /// All fields that do not depend on the reader, without the closing brace.
    fn client_base(&self) -> String {
        let pdu: PduView<'_> =
            serde_json::from_str(&self.stored.pdu).expect("was parsed when the event was read");
        let mut json = String::with_capacity(self.stored.pdu.len());
        json.push_str("{\"content\":");
        json.push_str(pdu.content.get());
        json.push_str(",\"event_id\":");
        push_text(&mut json, self.stored.event_id.as_str());
        json.push_str(",\"origin_server_ts\":");
        json.push_str(&self.origin_server_ts.to_string());
        if let Some(redacts) = self.redacts_field(&pdu) {
            json.push_str(",\"redacts\":");
            json.push_str(&redacts);
        }
        json.push_str(",\"sender\":");
        push_text(&mut json, self.sender.as_str());
        if let Some(state_key) = &self.state_key {
            json.push_str(",\"state_key\":");
            push_text(&mut json, state_key);
        }
        json.push_str(",\"type\":");
        push_text(&mut json, &self.kind);
        json
    }

    /// Room version 11 moved `redacts` into the content; clients get it at the top level too
    /// (spec: room version 11, "Redactions", client considerations).
    fn redacts_field(&self, pdu: &PduView<'_>) -> Option<String> {
        #[derive(Deserialize)]
        struct Redaction<'a> {
            #[serde(borrow)]
            redacts: Option<&'a RawValue>,
        }
        if self.kind != "m.room.redaction" {
            return None;
        }
        let inner = || serde_json::from_str::<Redaction<'_>>(pdu.content.get()).ok()?.redacts;
        pdu.redacts.or_else(inner).map(|id| id.get().to_owned())
    }
}

fn push_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::to_string(text).expect("text is JSON"));
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
