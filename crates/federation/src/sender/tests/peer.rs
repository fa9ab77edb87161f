//! One server on a store in memory, and a network with a scripted peer behind it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use blaupause_data::{
    Change, Data, Db, Env, Place, Write,
    rows::{EventRow, RoomServerRow, StoredEvent},
};
use blaupause_graph::{EventNo, StateRoot};
use blaupause_policy::ServerPolicy;
use blaupause_store::MemStore;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use ruma::{OwnedServerName, RoomId, ServerName, server_name};
use serde_json::{Value, json};

use crate::{
    CallLimits, Exchange, Federation, Settings, Wire, WireError,
    sender::{Link, deliver::Round},
};

/// What was sent: transaction id and body.
type Sent = Vec<(String, Value)>;

/// Answers every request the same; `None`: not at all.
pub(super) struct Peer {
    sent: Mutex<Sent>,
    answer: Mutex<Option<(StatusCode, &'static str)>>,
}

impl Peer {
    pub fn sent(&self) -> Sent {
        self.sent.lock().clone()
    }

    pub fn answer(&self, answer: Option<(StatusCode, &'static str)>) {
        *self.answer.lock() = answer;
    }
}

impl Wire for Peer {
    fn exchange<'a>(
        &'a self,
        _: &'a ServerName,
        request: Request<Bytes>,
        _: CallLimits,
    ) -> Exchange<'a> {
        let id = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let body = serde_json::from_slice(request.body()).expect("JSON");
        self.sent.lock().push((id, body));
        let answer = *self.answer.lock();
        Box::pin(async move {
            let (status, body) = answer.ok_or(WireError::TimedOut)?;
            let answer =
                Response::builder().status(status).body(Bytes::from_static(body.as_bytes()));
            Ok(answer.expect("an answer"))
        })
    }
}

pub(super) struct Server {
    pub store: MemStore,
    pub data: Data,
    pub federation: Federation,
    pub peer: Arc<Peer>,
    next_event: AtomicU32,
    links: Mutex<Vec<(OwnedServerName, Arc<Link>)>>,
}

impl Server {
    pub async fn new() -> Self {
        let server = Self::over(MemStore::new(), 1_000_000).await;
        server.federation.sender().follower.begin(&server.data).await.expect("a store");
        server
    }

    async fn over(store: MemStore, now_ms: u64) -> Self {
        let env = Env::manual(now_ms);
        let db = Db::Mem(store.clone());
        let data = Data::open(db, server_name!("own.example"), env).await.expect("a store");
        let answer = Mutex::new(Some((StatusCode::OK, r#"{"pdus":{}}"#)));
        let peer = Arc::new(Peer { sent: Mutex::default(), answer });
        let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
        let wire: Arc<dyn Wire> = Arc::<Peer>::clone(&peer);
        let federation = Federation::new(data.clone(), wire, settings);
        let (next_event, links) = (AtomicU32::new(1), Mutex::default());
        Self { store, data, federation, peer, next_event, links }
    }

    /// The process ended and another began.
    pub async fn restarted(self) -> Self {
        Self::over(self.store.copy(), self.data.env().now_millis()).await
    }

    /// Another process on the same data.
    pub async fn copied(&self) -> Self {
        Self::over(self.store.copy(), self.data.env().now_millis()).await
    }

    pub async fn room(&self, room: &str, servers: &[&str]) {
        let room = RoomId::parse(room).expect("an id");
        let part = self.data.parts().room(&room);
        let mut write = Write::new(part);
        for server in servers {
            let server = OwnedServerName::try_from(*server).expect("a name");
            write.put::<RoomServerRow>(part, &server, &1);
        }
        write.change(&Change::Servers { room });
        self.data.commit(write).await.expect("a store");
    }

    /// An event, which says its number.
    pub async fn event(
        &self,
        room: &str,
        sender: &str,
        kind: &str,
        state_key: Option<&str>,
        content: Value,
    ) {
        self.store_event(room, sender, (kind, state_key), content, None).await;
    }

    /// A membership after another one, which says its number.
    pub async fn replacing(
        &self,
        before: u32,
        room: &str,
        sender: &str,
        user: Option<&str>,
        content: Value,
    ) {
        let name = ("m.room.member", user);
        self.store_event(room, sender, name, content, Some(EventNo(before))).await;
    }

    async fn store_event(
        &self,
        room: &str,
        sender: &str,
        (kind, state_key): (&str, Option<&str>),
        content: Value,
        replaces: Option<EventNo>,
    ) {
        let no = EventNo(self.next_event.fetch_add(1, Ordering::SeqCst));
        let room = RoomId::parse(room).expect("an id");
        let part = self.data.parts().room(&room);
        let mut pdu = json!({
            "type": kind,
            "sender": sender,
            "room_id": room,
            "content": content,
            "origin_server_ts": 1,
            "no": no.0.to_string(),
        });
        if let Some(state_key) = state_key {
            pdu["state_key"] = json!(state_key);
        }
        let stored = StoredEvent {
            event_id: format!("${}", no.0).try_into().expect("an id"),
            place: Some(Place::now(0)),
            state_before: StateRoot::EMPTY,
            state_after: StateRoot::EMPTY,
            auth: Vec::new(),
            prev: Vec::new(),
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            replaces,
            pdu: pdu.to_string(),
        };
        let mut write = Write::new(part);
        write.put::<EventRow>(part, &no, &stored);
        write.change(&Change::Event { room, no });
        self.data.commit(write).await.expect("a store");
    }

    pub async fn owe_edu(&self, to: &ServerName, kind: &str, content: Value) {
        let mut write = Write::new(self.data.parts().server(to));
        self.federation.owe_edu(&mut write, to, kind, &content);
        if !write.is_empty() {
            self.data.commit(write).await.expect("a store");
        }
    }

    pub async fn is_owed(&self, server: &ServerName) -> bool {
        let owed = self.federation.are_owed(&[server.to_owned()]).await.expect("a store");
        owed[0]
    }

    pub fn refuse(&self, server: &str) {
        let mut policy = ServerPolicy::open();
        policy.deny = vec![server.parse().expect("a pattern")].into();
        self.federation.set_servers(policy);
    }

    /// The link that rounds of this test use.
    pub fn link(&self, server: &ServerName) -> Arc<Link> {
        let mut links = self.links.lock();
        if let Some((_, link)) = links.iter().find(|(name, _)| name == server) {
            return Arc::clone(link);
        }
        links.push((server.to_owned(), Arc::default()));
        Arc::clone(&links.last().expect("just put there").1)
    }

    pub async fn round(&self, server: &ServerName) -> Round {
        let link = self.link(server);
        self.federation.round(server, &link).await.expect("a store")
    }
}

/// Numbers of the events of a transaction.
pub(super) fn event_ids(body: &Value) -> Vec<String> {
    let pdus = body["pdus"].as_array().cloned().unwrap_or_default();
    pdus.iter().map(|pdu| pdu["no"].as_str().unwrap_or_default().to_owned()).collect()
}
