//! Other servers as a script: they make rooms, join rooms, send, and note what arrives. They believe
//! everything, so that what is measured is the server that they speak with.

mod answer;
mod authority;
mod room;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, RoomVersionId,
    room_version_rules::RoomVersionRules,
    signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash, sign_json},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

pub use authority::Authority;
pub use room::{Room, object};

use crate::client::{Client, encoded};

/// The version of all rooms that are made here.
pub const VERSION: &str = "11";
const KEY_VERSION: &str = "bench";
/// Milliseconds for which a key is good.
const KEY_TIME_MS: u128 = 24 * 60 * 60 * 1_000;

/// One other server.
pub struct Peer {
    /// `localhost` and the port where it listens.
    pub name: String,
    key: Ed25519KeyPair,
    rules: RoomVersionRules,
    rooms: RefCell<BTreeMap<String, Rc<Room>>>,
    next_transaction: Cell<usize>,
    /// Transactions that were sent to it: when each came, and its body.
    pub arrived: RefCell<Vec<(Instant, Bytes)>>,
    pub progress: Rc<Notify>,
}

impl Peer {
    /// Servers that listen. What arrives at one of them wakes who waits for `progress`.
    pub async fn start(authority: &Authority, count: usize) -> Result<Vec<Rc<Self>>> {
        let progress = Rc::new(Notify::new());
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let der = Ed25519KeyPair::generate();
            let peer = Rc::new(Self {
                name: format!("localhost:{}", listener.local_addr()?.port()),
                key: Ed25519KeyPair::from_der(&der, KEY_VERSION.to_owned())?,
                rules: RoomVersionId::V11.rules().context("the version is known")?,
                rooms: RefCell::default(),
                next_transaction: Cell::new(0),
                arrived: RefCell::default(),
                progress: Rc::clone(&progress),
            });
            tokio::task::spawn_local(answer::serve(
                Rc::clone(&peer),
                listener,
                authority.acceptor()?,
            ));
            peers.push(peer);
        }
        Ok(peers)
    }

    /// Others may join this room here.
    pub fn serve_room(&self, room: &Rc<Room>) {
        self.rooms.borrow_mut().insert(room.id.clone(), Rc::clone(room));
    }

    fn room(&self, id: &str) -> Option<Rc<Room>> {
        self.rooms.borrow().get(id).cloned()
    }

    /// The event's id and its text.
    pub fn sign_event(&self, mut event: CanonicalJsonObject) -> Result<(String, String)> {
        hash_and_sign_event(&self.name, &self.key, &mut event, &self.rules.redaction)?;
        let id = self.event_id(&event)?;
        Ok((id, serde_json::to_string(&event)?))
    }

    fn event_id(&self, event: &CanonicalJsonObject) -> Result<String> {
        Ok(format!("${}", reference_hash(event, &self.rules)?))
    }

    /// What `/_matrix/key/v2/server` answers.
    fn keys(&self) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let until = u64::try_from(now + KEY_TIME_MS)?;
        let key = unpadded(&self.key.public_key());
        let mut keys = object(json!({
            "server_name": self.name, "valid_until_ts": until, "old_verify_keys": {},
            "verify_keys": { format!("ed25519:{KEY_VERSION}"): { "key": key } },
        }))?;
        sign_json(&self.name, &self.key, &mut keys)?;
        Ok(serde_json::to_string(&keys)?)
    }

    /// Ask the measured server as one server asks another. Its client listener serves federation,
    /// too.
    pub async fn ask(
        &self,
        client: &mut Client,
        destination: &str,
        (method, path): (Method, &str),
        body: Option<&Value>,
    ) -> Result<Value> {
        let mut request = object(json!({
            "method": method.as_str(), "uri": path, "origin": self.name,
            "destination": destination,
        }))?;
        if let Some(body) = body {
            request.insert("content".to_owned(), CanonicalJsonValue::Object(object(body.clone())?));
        }
        sign_json(&self.name, &self.key, &mut request)?;
        let request = Value::from(CanonicalJsonValue::Object(request));
        let key = format!("ed25519:{KEY_VERSION}");
        let signature = request["signatures"][&self.name][&key].as_str().context("it is signed")?;
        client.authorization = Some(format!(
            "X-Matrix origin=\"{}\",destination=\"{destination}\",key=\"{key}\",sig=\"{signature}\"",
            self.name
        ));
        client.json(method, path, body).await
    }

    /// Let somebody of this server join a room of the measured one.
    pub async fn join(
        &self,
        client: &mut Client,
        destination: &str,
        room: &str,
        name: &str,
    ) -> Result<()> {
        let user = format!("@{name}:{}", self.name);
        let (room, user) = (encoded(room), encoded(&user));
        let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver={VERSION}");
        let made = self.ask(client, destination, (Method::GET, &path), None).await?;
        let mut event = object(made["event"].clone())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        event.extend(object(json!({ "origin_server_ts": u64::try_from(now)? }))?);
        let (id, event) = self.sign_event(event)?;
        let event: Value = serde_json::from_str(&event)?;
        let path = format!("/_matrix/federation/v2/send_join/{room}/{}", encoded(&id));
        self.ask(client, destination, (Method::PUT, &path), Some(&event)).await?;
        Ok(())
    }

    /// Send events in one transaction; how many of them were refused.
    pub async fn send(
        &self,
        client: &mut Client,
        destination: &str,
        pdus: &[Value],
    ) -> Result<usize> {
        let number = self.next_transaction.get();
        self.next_transaction.set(number + 1);
        let path = format!("/_matrix/federation/v1/send/t{number}");
        let body = json!({ "origin": self.name, "origin_server_ts": 1, "pdus": pdus });
        let answer = self.ask(client, destination, (Method::PUT, &path), Some(&body)).await?;
        let answers = answer["pdus"].as_object().context("an answer for each event")?;
        ensure!(answers.len() == pdus.len(), "{} of {} answered", answers.len(), pdus.len());
        Ok(answers.values().filter(|answer| answer.get("error").is_some()).count())
    }
}

/// Base64 without padding.
fn unpadded(bytes: &[u8]) -> String {
    ruma::serde::Base64::<ruma::serde::base64::Standard, _>::new(bytes).encode()
}
