//! The one place where events become what a client gets: the event itself, and in `unsigned` what
//! depends on the reader (client-server API, "Room event format").

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use blaupause_data::{Event, One, Part, ReadSet};
use blaupause_graph::EventNo;
use ruma::{DeviceId, OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Reader, RoomAccess,
    bundle::{self, Bundle, Bundler, Family, REFERENCE, REPLACE, THREAD},
    visibility::{JoinedUntil, Lens},
};
use crate::{
    Rooms, RoomsError,
    rows::{EventDelayRow, EventTxn, EventTxnRow},
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
struct Desk {
    now_ms: u64,
    reader: Reader,
    /// Named in each event, or `None` where the answer names it once.
    room: Option<OwnedRoomId>,
    /// Events that others refer to.
    events: HashMap<EventNo, Arc<Event>>,
    family: Family,
    sent: HashMap<EventNo, Sent>,
    lens: Lens,
    ignored: Arc<std::collections::HashSet<ruma::OwnedUserId>>,
}

/// How an event of the reader's own was sent.
#[derive(Default)]
struct Sent {
    txn: Option<EventTxn>,
    /// The delay that it waited for (MSC4140).
    delay: Option<String>,
}

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
        let plain = events.iter().map(|event| {
            let unsigned = Unsigned { age: age_ms(now_ms, event), ..Unsigned::default() };
            client_json(event, Some(&self.room), &unsigned)
        });
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
    fn latest_in_threads(&self, events: &[Arc<Event>]) -> Vec<Arc<Event>> {
        let bundler = self.bundler();
        events
            .iter()
            .filter_map(|event| bundler.bundle(event)?.thread)
            .filter_map(|thread| self.events.get(&thread.latest.no).cloned())
            .collect()
    }

    fn tell(&self, event: &Event) -> Box<RawValue> {
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
