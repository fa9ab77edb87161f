use std::{collections::BTreeMap, sync::Arc, time::Duration};

use blaupause_accounts::{
    Accounts, Argon2Cost, Registration, RegistrationMode, Secret, Settings, SignIn,
};
use blaupause_e2ee::{E2ee, Recipients};
use blaupause_notify::Notify;
use blaupause_rooms::{NewReceipt, Reader, ReceiptKind};
use blaupause_sync::{SlidingRequest, Sync, SyncError, SyncRequest, SyncToken};
use blaupause_testkit::{TestServer, raw};
use ruma::{
    EventId, OwnedDeviceId, OwnedUserId, RoomId, TransactionId, UserId,
    api::client::sync::sync_events::v5,
    api::{IncomingRequestExt, OutgoingResponse, OutgoingResponseExt},
    events::receipt::ReceiptThread,
    presence::PresenceState,
};
use serde_json::{Value, json};

/// A server with everything that sync reads from.
pub struct World {
    pub server: TestServer,
    pub e2ee: E2ee,
    pub sync: Sync,
    signup: Accounts,
}

/// Somebody at a device.
#[derive(Clone)]
pub struct Person {
    pub id: OwnedUserId,
    pub device: OwnedDeviceId,
}

impl std::ops::Deref for Person {
    type Target = UserId;
    fn deref(&self) -> &UserId {
        &self.id
    }
}

impl World {
    pub async fn new() -> Self {
        let server = TestServer::new().await;
        let (data, accounts, rooms) =
            (server.data.clone(), server.accounts.clone(), server.rooms.clone());
        let e2ee = E2ee::new(data.clone(), accounts.clone(), server.federation.clone());
        let notify = Notify::new(data.clone(), accounts.clone(), rooms.clone());
        let sync = Sync::new(data.clone(), accounts, rooms, e2ee.clone(), notify);
        let settings = Settings {
            registration: RegistrationMode::Open,
            argon2: Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 },
            ..Settings::default()
        };
        Self { server, e2ee, sync, signup: Accounts::new(data, settings) }
    }

    pub async fn person(&self, name: &str) -> Person {
        let wanted = Registration {
            username: Some(name.to_owned()),
            password: Some(Secret::new("a long password".to_owned())),
            sign_in: Some(SignIn::default()),
            ..Registration::default()
        };
        let made = self.signup.register(wanted).await.expect("the name is free");
        Person { id: made.user_id, device: made.issued.expect("signed in").device_id }
    }

    /// What a person's client asks of `/sync`.
    pub fn ask(&self, person: &Person) -> SyncRequest {
        SyncRequest {
            user: person.id.clone(),
            device: Some(person.device.clone()),
            since: None,
            filter: Arc::default(),
            full_state: false,
            set_presence: PresenceState::Offline,
            timeout: Duration::ZERO,
            use_state_after: false,
        }
    }

    /// The answer as the client reads it.
    pub async fn v3(&self, request: SyncRequest) -> Value {
        json_of(self.sync.v3(request).await.expect("syncs"))
    }

    /// Everything from the beginning on.
    pub async fn first(&self, person: &Person) -> Value {
        self.v3(self.ask(person)).await
    }

    /// What came after an answer.
    pub async fn next(&self, person: &Person, answer: &Value) -> Value {
        self.v3(SyncRequest { since: since(answer), ..self.ask(person) }).await
    }

    /// The same with a filter.
    pub async fn filtered(&self, person: &Person, answer: Option<&Value>, filter: Value) -> Value {
        let filter = Arc::new(serde_json::from_value(filter).expect("a filter"));
        let since = answer.and_then(since);
        self.v3(SyncRequest { since, filter, ..self.ask(person) }).await
    }

    /// One request of sliding sync.
    pub async fn slide(
        &self,
        person: &Person,
        pos: Option<&str>,
        body: &Value,
    ) -> Result<Value, SyncError> {
        let request = self.sliding_request(person, pos, body, 0);
        self.sync.sliding(request).await.map(json_of)
    }

    pub fn sliding_request(
        &self,
        person: &Person,
        pos: Option<&str>,
        body: &Value,
        timeout_ms: u64,
    ) -> SlidingRequest {
        let pos = pos.map(|pos| format!("&pos={pos}")).unwrap_or_default();
        let query = format!("set_presence=offline&timeout={timeout_ms}{pos}");
        let body = body.to_string();
        let request = http::Request::post(format!("http://x/sync?{query}"))
            .body(body.as_bytes())
            .expect("a request");
        let body = v5::Request::try_from_http_request(request, &[] as &[&str]).expect("valid");
        SlidingRequest { user: person.id.clone(), device: Some(person.device.clone()), body }
    }

    pub async fn read(&self, person: &Person, room: &RoomId, event: &EventId, kind: ReceiptKind) {
        let reader = Reader::new(person.id.clone(), None);
        let access = self.server.rooms.access(&reader, room).await.expect("joined");
        let thread = ReceiptThread::Unthreaded;
        let receipt = NewReceipt { kind, event: event.to_owned(), thread };
        access.set_receipts(&[receipt]).await.expect("set");
    }

    pub async fn message_device(&self, from: &Person, to: &Person, text: &str) {
        let content = raw(&json!({ "text": text }));
        let to = (to.id.clone(), BTreeMap::from([(Recipients::All, content)]));
        let txn = TransactionId::new();
        let messages = BTreeMap::from([to]);
        self.e2ee.send_to_device(from, None, &txn, "m.test", &messages).await.expect("sent");
    }

    pub async fn account_data(
        &self,
        person: &Person,
        room: Option<&RoomId>,
        kind: &str,
        content: Value,
    ) {
        let content = raw(&content);
        let set = self.server.accounts.set_account_data(person, room, kind, &content);
        set.await.expect("set");
    }
}

fn json_of(response: impl OutgoingResponse) -> Value {
    let http = response.try_into_http_response::<Vec<u8>>().expect("JSON");
    serde_json::from_slice(http.body()).expect("JSON")
}

pub fn since(answer: &Value) -> Option<SyncToken> {
    answer["next_batch"].as_str().and_then(SyncToken::parse)
}

pub fn pos(answer: &Value) -> Option<&str> {
    answer["pos"].as_str()
}

/// What a section tells of a room.
pub fn room<'a>(answer: &'a Value, section: &str, room: &RoomId) -> &'a Value {
    &answer["rooms"][section][room.as_str()]
}

pub fn joined<'a>(answer: &'a Value, id: &RoomId) -> &'a Value {
    room(answer, "join", id)
}

fn list(events: &Value) -> &[Value] {
    events.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Texts of messages in a list of events.
pub fn texts(events: &Value) -> Vec<&str> {
    list(events).iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

/// State keys of the events of a type, sorted.
pub fn keys<'a>(events: &'a Value, kind: &str) -> Vec<&'a str> {
    let of_kind = list(events).iter().filter(|event| event["type"] == kind);
    let mut keys: Vec<_> = of_kind.filter_map(|event| event["state_key"].as_str()).collect();
    keys.sort_unstable();
    keys
}

/// Types of events, sorted.
pub fn kinds(events: &Value) -> Vec<&str> {
    let mut kinds: Vec<_> =
        list(events).iter().filter_map(|event| event["type"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}
