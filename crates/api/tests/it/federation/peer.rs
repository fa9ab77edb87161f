//! A server that the test plays: it has a name and a key, answers what it is told to, asks and sends
//! what it likes, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use blaupause_data::rows::{HeadRow, RoomHead};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use ruma::{
    CanonicalJsonObject, OwnedServerName, RoomVersionId, ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash, sign_json},
};
use serde_json::{Value, json};

use super::{network::Network, world::encoded};
use crate::server::{Answer, Server};

const DAY_MS: u64 = 24 * 60 * 60_000;

/// A scripted server. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    pub name: OwnedServerName,
    pub network: Network,
    key: Arc<Ed25519KeyPair>,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    lines: Vec<Line>,
    asked: Vec<Asked>,
    sent: u64,
}

/// What it answers.
#[derive(Clone)]
struct Line {
    /// Part of the path.
    path: String,
    answer: Answers,
}

type Answers = Arc<dyn Fn(&Asked) -> (StatusCode, Vec<u8>) + Send + Sync>;

/// A question that the peer was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    pub body: Value,
    /// Bytes of the body.
    pub size: usize,
}

impl Peer {
    /// A server of this name in the network. It publishes its key and answers 404 to the rest.
    pub fn new(network: &Network, name: &str) -> Self {
        let peer = Self {
            name: ServerName::parse(name).expect("a server name"),
            network: network.clone(),
            key: new_key("peer"),
            script: Arc::default(),
        };
        let document = peer.key_document(network.env.now_millis() + DAY_MS);
        peer.answers("/_matrix/key/v2/server", document);
        let played = peer.clone();
        let play = move |request: Request| {
            let played = played.clone();
            async move { played.answer(request).await }
        };
        network.connect(&peer.name, Router::new().fallback(play));
        peer
    }

    /// What it publishes of its keys.
    pub fn key_document(&self, valid_until_ms: u64) -> Value {
        let key = Base64::<Standard, _>::new(self.key.public_key().to_vec()).encode();
        self.signed_json(json!({
            "server_name": self.name,
            "valid_until_ts": valid_until_ms,
            "verify_keys": { self.key_id(): { "key": key } },
            "old_verify_keys": {},
        }))
    }

    /// The same server with another key. The one before is given up, as of a moment.
    pub fn with_new_key(&self, version: &str, expired_ms: u64) -> Self {
        let heir = Self { key: new_key(version), ..self.clone() };
        let mut document = heir.key_document(self.network.env.now_millis() + DAY_MS);
        let old = &self.key_document(0)["verify_keys"][self.key_id()]["key"];
        document["old_verify_keys"] =
            json!({ self.key_id(): { "key": old, "expired_ts": expired_ms } });
        document.as_object_mut().expect("an object").remove("signatures");
        heir.answers("/_matrix/key/v2/server", heir.signed_json(document));
        heir
    }

    /// `ed25519:…`
    pub fn key_id(&self) -> String {
        format!("ed25519:{}", self.key.version())
    }

    /// Any object, signed.
    pub fn signed_json(&self, object: Value) -> Value {
        let mut object: CanonicalJsonObject = serde_json::from_value(object).expect("canonical");
        sign_json(self.name.as_str(), &*self.key, &mut object).expect("it can be signed");
        serde_json::to_value(object).expect("JSON")
    }

    /// From now on, this is what questions are answered with whose path contains this.
    pub fn answers(&self, path: &str, body: Value) {
        self.plays(path, move |_| (StatusCode::OK, body.to_string().into_bytes()));
    }

    /// The same, whatever it is.
    pub fn plays(
        &self,
        path: &str,
        answer: impl Fn(&Asked) -> (StatusCode, Vec<u8>) + Send + Sync + 'static,
    ) {
        let line = Line { path: path.to_owned(), answer: Arc::new(answer) };
        let mut script = self.script.lock().expect("no test panics with it");
        script.lines.retain(|line| line.path != path);
        script.lines.push(line);
    }

    /// What it was asked whose path contains this.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let script = self.script.lock().expect("no test panics with it");
        script.asked.iter().filter(|asked| asked.path.contains(path)).cloned().collect()
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_else(|_| Bytes::new());
        let asked = Asked {
            path: parts.uri.to_string(),
            size: body.len(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let line = {
            let mut script = self.script.lock().expect("no test panics with it");
            script.asked.push(asked.clone());
            script.lines.iter().rev().find(|line| asked.path.contains(&line.path)).cloned()
        };
        let not_found = || {
            let body = json!({ "errcode": "M_NOT_FOUND", "error": "nothing here" });
            (StatusCode::NOT_FOUND, body.to_string().into_bytes())
        };
        let (status, body) = line.map_or_else(not_found, |line| (line.answer)(&asked));
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("an answer")
    }

    /// A request that it has signed.
    pub fn request(
        &self,
        to: &ServerName,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> http::Request<Body> {
        let request = http::Request::builder().method(method).uri(path).body(body);
        let mut request = request.expect("a request");
        let sign = || XMatrixSigningInput::new(self.name.clone(), to.to_owned(), &self.key);
        // What is no JSON cannot be signed with the body: then the body is not looked at.
        let value = XMatrix::sign_http_request(&request, sign()).unwrap_or_else(|_| {
            let bare = http::Request::builder().method(request.method()).uri(request.uri());
            let bare = bare.body(Vec::<u8>::new()).expect("a request");
            XMatrix::sign_http_request(&bare, sign()).expect("it can be signed")
        });
        request.headers_mut().insert(header::AUTHORIZATION, (&value).into());
        request.map(Body::from)
    }

    /// Ask something, signed. Paths are under `/_matrix/federation`, unless they start with `/_`.
    pub async fn asks(
        &self,
        of: &Server,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let under = format!("/_matrix/federation{path}");
        let path = if path.starts_with("/_") { path } else { &under };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        of.send(self.request(of.data.server_name(), method, path, body)).await
    }

    /// A GET.
    pub async fn gets(&self, of: &Server, path: &str) -> Answer {
        self.asks(of, Method::GET, path, None).await
    }

    /// A transaction. Afterwards all of it is judged.
    pub async fn sends(&self, to: &Server, pdus: Vec<Value>, edus: Vec<Value>) -> Answer {
        let body = json!({
            "origin": self.name, "origin_server_ts": 1, "pdus": pdus, "edus": edus,
        });
        self.sends_raw(to, &body.to_string()).await
    }

    /// A transaction as text. Afterwards all of it is judged.
    pub async fn sends_raw(&self, to: &Server, body: &str) -> Answer {
        let number = {
            let mut script = self.script.lock().expect("no test panics with it");
            script.sent += 1;
            script.sent
        };
        let path = format!("/_matrix/federation/v1/send/t{number}");
        let body = body.as_bytes().to_vec();
        let request = self.request(to.data.server_name(), Method::PUT, &path, body);
        let answer = to.send(request).await;
        to.rooms.intake().await;
        answer
    }

    /// Hash and sign an event; its id.
    pub fn signs(&self, event: &Value, version: &RoomVersionId) -> (String, Value) {
        let rules = version.rules().expect("known");
        let mut event: CanonicalJsonObject =
            serde_json::from_value(event.clone()).expect("canonical JSON");
        let name = self.name.as_str();
        hash_and_sign_event(name, &*self.key, &mut event, &rules.redaction).expect("an event");
        let id = format!("${}", reference_hash(&event, &rules).expect("it has one"));
        (id, serde_json::to_value(&event).expect("JSON"))
    }
}

fn new_key(version: &str) -> Arc<Ed25519KeyPair> {
    let der = Ed25519KeyPair::generate();
    Arc::new(Ed25519KeyPair::from_der(&der, version.to_owned()).expect("a key"))
}

/// What it does with rooms.
impl Peer {
    /// The first step of a handshake: `join`, `knock` or `leave`.
    pub async fn template(&self, of: &Server, kind: &str, room: &str, user: &str) -> Answer {
        let versions = "?ver=6&ver=7&ver=8&ver=9&ver=10&ver=11&ver=12";
        let versions = if kind == "leave" { "" } else { versions };
        let (room, user) = (encoded(room), encoded(user));
        self.gets(of, &format!("/v1/make_{kind}/{room}/{user}{versions}")).await
    }

    /// The second step, with an event of its own making.
    pub async fn hands_over(&self, to: &Server, kind: &str, room: &str, event: &Value) -> Answer {
        let version = self.version_of(to, room).await;
        let (id, event) = self.signs(event, &version);
        let v = if kind == "knock" { "v1" } else { "v2" };
        let path = format!("/{v}/send_{kind}/{}/{}", encoded(room), encoded(&id));
        self.asks(to, Method::PUT, &path, Some(event)).await
    }

    /// Somebody of it joins a room. The id of the event.
    pub async fn joins(&self, to: &Server, room: &str, user: &str) -> String {
        let template = self.template(to, "join", room, user).await.ok();
        let version = self.version_of(to, room).await;
        let answer = self.hands_over(to, "join", room, &template["event"]).await.ok();
        self.signs_id(&answer["event"], &version)
    }

    /// The id of an event.
    pub fn signs_id(&self, event: &Value, version: &RoomVersionId) -> String {
        let rules = version.rules().expect("known");
        let event: CanonicalJsonObject =
            serde_json::from_value(event.clone()).expect("canonical JSON");
        format!("${}", reference_hash(&event, &rules).expect("it has one"))
    }

    /// The version of a room.
    pub async fn version_of(&self, of: &Server, room: &str) -> RoomVersionId {
        head(of, room).await.version
    }

    /// An event of somebody in a room, at its end, with the right authorization; not signed yet.
    pub async fn draft(&self, of: &Server, room: &str, sender: &str, kind: &str) -> Value {
        let version = self.version_of(of, room).await;
        let tips = head(of, room).await.tips;
        let depth = tips.iter().map(|tip| tip.depth).max().unwrap_or_default() + 1;
        let prev: Vec<_> = tips.iter().map(|tip| tip.event_id.to_string()).collect();
        let state = self.state(of, room).await;
        let names = [("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.member", sender)];
        let is_implied = |kind: &str| kind == "m.room.create" && version == RoomVersionId::V12;
        let auth = names.iter().filter(|(kind, _)| !is_implied(kind)).filter_map(|(kind, key)| {
            let found = state
                .iter()
                .find(|(_, event)| event["type"] == *kind && event["state_key"] == *key);
            found.map(|(id, _)| id.clone())
        });
        json!({
            "type": kind, "sender": sender, "room_id": room, "depth": depth,
            "prev_events": prev, "auth_events": auth.collect::<Vec<_>>(),
            "content": {}, "origin_server_ts": self.network.env.now_millis(),
        })
    }

    /// A room's state now, as the server stores it: ids and events.
    pub async fn state(&self, of: &Server, room: &str) -> Vec<(String, Value)> {
        let head = head(of, room).await;
        let part = of.data.parts().room(&head.room_id);
        let all = of.data.state_all(part, head.state).await.expect("the memory can be read");
        let wanted: Vec<_> = all.into_iter().map(|(_, no)| (part, no)).collect();
        let events = of.data.events(&wanted).await.expect("the memory can be read");
        let events = events.into_iter().flatten().map(|event| {
            let json = serde_json::from_str(&event.stored.pdu).expect("JSON");
            (event.stored.event_id.to_string(), json)
        });
        events.collect()
    }

    /// Somebody of it says something in a room, in the right way. The event's id.
    pub async fn says(&self, to: &Server, room: &str, sender: &str, text: &str) -> String {
        let mut event = self.draft(to, room, sender, "m.room.message").await;
        event["content"] = json!({ "msgtype": "m.text", "body": text });
        self.brings(to, room, &event).await
    }

    /// An event is signed, sent and judged. Its id.
    pub async fn brings(&self, to: &Server, room: &str, event: &Value) -> String {
        let version = self.version_of(to, room).await;
        let (id, event) = self.signs(event, &version);
        self.sends(to, vec![event], Vec::new()).await.ok();
        id
    }
}

/// How a server knows a room.
pub async fn head(of: &Server, room: &str) -> RoomHead {
    let room = <&ruma::RoomId>::try_from(room).expect("a room id");
    let part = of.data.parts().room(room);
    let head = of.data.get::<HeadRow>(part, &()).await;
    head.expect("the memory can be read").expect("the room is there").value
}
