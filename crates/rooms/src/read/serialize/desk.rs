//! One event for one reader, from what was read before. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use blaupause_data::Event;
use blaupause_graph::{EventNo, sticky};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    read::{
        Reader,
        bundle::{Bundle, Bundler, Family, REFERENCE, REPLACE, THREAD},
        visibility::Lens,
    },
    rows::EventTxn,
};

/// `unsigned` of an event for one reader.
#[derive(Serialize, Default)]
struct Unsigned<'a> {
    age: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'a MembershipState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    #[serde(rename = "org.matrix.msc4140.delay_id", skip_serializing_if = "Option::is_none")]
    delay_id: Option<&'a str>,
    /// How long the event is still sticky (MSC4354), in milliseconds.
    #[serde(rename = "msc4354_sticky_duration_ttl_ms", skip_serializing_if = "Option::is_none")]
    sticky_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_because: Option<Box<RawValue>>,
    #[serde(rename = "m.relations", skip_serializing_if = "HashMap::is_empty")]
    relations: HashMap<&'static str, Box<RawValue>>,
}

#[derive(Serialize)]
struct ThreadJson<'a> {
    latest_event: &'a RawValue,
    count: usize,
    current_user_participated: bool,
}

#[derive(Serialize)]
struct ReferencesJson<'a> {
    chunk: Vec<ReferenceJson<'a>>,
}

#[derive(Serialize)]
struct ReferenceJson<'a> {
    event_id: &'a str,
}

/// Everything at hand that a page of events needs to become JSON.
pub(super) struct Desk {
    pub(super) now_ms: u64,
    pub(super) reader: Reader,
    /// Named in each event, or `None` where the answer names it once.
    pub(super) room: Option<OwnedRoomId>,
    /// Events that others refer to.
    pub(super) events: HashMap<EventNo, Arc<Event>>,
    pub(super) family: Family,
    pub(super) sent: HashMap<EventNo, Sent>,
    pub(super) lens: Lens,
    pub(super) ignored: Arc<HashSet<OwnedUserId>>,
}

/// How an event of the reader's own was sent.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) txn: Option<EventTxn>,
    /// The delay that it waited for (MSC4140).
    pub(super) delay: Option<String>,
}

impl Desk {
    fn bundler(&self) -> Bundler<'_> {
        Bundler {
            events: &self.events,
            family: &self.family,
            lens: &self.lens,
            user: &self.reader.user,
            ignored: &self.ignored,
        }
    }

    /// The newest replies of threads whose roots are among `events`: they get bundles too.
    pub(super) fn latest_in_threads(&self, events: &[Arc<Event>]) -> Vec<Arc<Event>> {
        let bundler = self.bundler();
        events
            .iter()
            .filter_map(|event| bundler.bundle(event)?.thread)
            .filter_map(|thread| self.events.get(&thread.latest.no).cloned())
            .collect()
    }

    pub(super) fn tell(&self, event: &Event) -> Box<RawValue> {
        let bundle = self.bundler().bundle(event).filter(|_| event.state_key.is_none());
        let relations = bundle.map(|bundle| self.relations(&bundle)).unwrap_or_default();
        self.tell_with(event, relations)
    }

    fn tell_with(
        &self,
        event: &Event,
        relations: HashMap<&'static str, Box<RawValue>>,
    ) -> Box<RawValue> {
        let replaced = event
            .stored
            .replaces
            .filter(|_| event.state_key.is_some())
            .and_then(|no| self.events.get(&no));
        let redaction = event.stored.redacted_by.and_then(|no| self.events.get(&no));
        let redaction = redaction.filter(|redaction| self.lens.sees(redaction));
        let unsigned = Unsigned {
            age: age_ms(self.now_ms, event),
            membership: self.lens.membership(event),
            transaction_id: self.transaction(event),
            delay_id: self.delay(event),
            sticky_ms: sticky_ms(self.now_ms, event),
            prev_content: replaced.map(|replaced| replaced.content()),
            prev_sender: replaced.map(|replaced| replaced.sender.as_str()),
            replaces_state: replaced.map(|replaced| replaced.stored.event_id.as_str()),
            redacted_because: redaction.map(|redaction| self.plain(redaction)),
            relations,
        };
        client_json(event, self.room.as_ref(), &unsigned)
    }

    /// An event inside of another one's `unsigned`.
    fn plain(&self, event: &Event) -> Box<RawValue> {
        let unsigned = Unsigned {
            age: age_ms(self.now_ms, event),
            membership: self.lens.membership(event),
            transaction_id: self.transaction(event),
            delay_id: self.delay(event),
            ..Unsigned::default()
        };
        client_json(event, self.room.as_ref(), &unsigned)
    }

    /// Only the device that sent an event is told its transaction id.
    fn transaction(&self, event: &Event) -> Option<&str> {
        let sent = self.sent.get(&event.no).filter(|_| event.sender == self.reader.user)?;
        let txn = sent.txn.as_ref()?;
        let device = self.reader.device.as_ref()?;
        (txn.device == device.as_str()).then_some(&*txn.txn)
    }

    /// All devices of who sent an event are told which delay it waited for.
    fn delay(&self, event: &Event) -> Option<&str> {
        let sent = self.sent.get(&event.no).filter(|_| event.sender == self.reader.user)?;
        sent.delay.as_deref()
    }

    fn relations(&self, bundle: &Bundle<'_>) -> HashMap<&'static str, Box<RawValue>> {
        let mut relations = HashMap::new();
        if let Some(edit) = bundle.replace {
            relations.insert(REPLACE, self.plain(edit));
        }
        if let Some(thread) = &bundle.thread {
            // Whatever the children say, this goes one level deep: a reply is no root.
            let inner = self.bundler().bundle(thread.latest).map(|mut inner| {
                inner.thread = None;
                self.relations(&inner)
            });
            let latest = self.tell_with(thread.latest, inner.unwrap_or_default());
            let json = ThreadJson {
                latest_event: &latest,
                count: thread.count,
                current_user_participated: thread.participated,
            };
            relations.insert(THREAD, raw(&json));
        }
        if !bundle.references.is_empty() {
            let event_id = |event: &&'_ Event| event.stored.event_id.clone();
            let ids: Vec<_> = bundle.references.iter().map(event_id).collect();
            let chunk = ids.iter().map(|id| ReferenceJson { event_id: id.as_str() }).collect();
            relations.insert(REFERENCE, raw(&ReferencesJson { chunk }));
        }
        relations
    }
}

/// An event with nothing that depends on a reader.
pub(super) fn for_everybody(event: &Event, room: &OwnedRoomId, now_ms: u64) -> Box<RawValue> {
    let unsigned = Unsigned { age: age_ms(now_ms, event), ..Unsigned::default() };
    client_json(event, Some(room), &unsigned)
}

fn sticky_ms(now_ms: u64, event: &Event) -> Option<u64> {
    let until_ms = sticky::until_ms(now_ms, event.origin_server_ts, event.sticky_ms()?);
    until_ms.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)
}

fn age_ms(now_ms: u64, event: &Event) -> u64 {
    now_ms.saturating_sub(event.origin_server_ts)
}

fn client_json(
    event: &Event,
    room: Option<&OwnedRoomId>,
    unsigned: &Unsigned<'_>,
) -> Box<RawValue> {
    event.client_json(room, Some(unsigned))
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("plain data is JSON")
}
