//! A server, some of its people and their things, and a [`Peer`] with somebody in one of its rooms:
//! what the server-server API is asked about.

use std::collections::BTreeMap;

use axum::body::Body;
use blaupause_federation::Settings;
use blaupause_policy::ServerPolicy;
use http::{Method, Request};
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{network::Network, peer::Peer};
use crate::{
    olm::Olm,
    server::{Answer, Client, Server},
};

/// Parameters of paths, and what in the world they are.
const PARAMETERS: [(&str, &str); 7] = [
    ("roomId", "{room}"),
    ("eventId", "{event}"),
    ("userId", "{user}"),
    ("mediaId", "{media}"),
    ("serverName", "{server}"),
    ("txnId", "txn"),
    ("queryType", "org.example.type"),
];

/// The world.
pub struct World {
    pub network: Network,
    pub server: Server,
    pub peer: Peer,
    pub names: BTreeMap<String, String>,
}

/// A request, ready to be signed.
#[derive(Clone, Debug)]
pub struct Asking {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub body: Option<Value>,
}

impl World {
    pub async fn new() -> Self {
        let network = Network::new();
        let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
        let server = network.server_with("example.org", settings).await;
        let peer = Peer::new(&network, "peer.example");
        let mut world = Self { network, server, peer, names: BTreeMap::new() };
        world.furnish().await;
        world
    }

    async fn furnish(&mut self) {
        let alice = self.server.user("alice").await;
        let rooms = [
            (
                "room",
                json!({ "preset": "public_chat", "name": "Room", "room_alias_name": "room",
                "visibility": "public" }),
            ),
            (
                "knock_room",
                json!({ "initial_state": [{ "type": "m.room.join_rules",
                "content": { "join_rule": "knock" } }] }),
            ),
            ("private", json!({ "preset": "private_chat" })),
        ];
        let mut names = BTreeMap::new();
        for (name, mut how) in rooms {
            how["room_version"] = json!("11");
            let made = alice.post("/v3/createRoom", how).await.ok();
            let room = made["room_id"].as_str().expect("an id").to_owned();
            let event = say(&alice, &room, "hello").await;
            names.insert(format!("event_of_{name}"), event);
            names.insert(name.to_owned(), room);
        }
        names.insert("event".to_owned(), names["event_of_room"].clone());
        let keys = Olm::new(&alice.id, &alice.device);
        let mut one_time = keys;
        let body = json!({ "device_keys": one_time.device_keys(),
            "one_time_keys": one_time.one_time_keys(5) });
        alice.post("/v3/keys/upload", body).await.ok();
        let path = format!("/v3/user/{}/openid/request_token", alice.id);
        let openid = alice.post(&path, json!({})).await.ok();
        let openid = openid["access_token"].as_str().expect("a token").to_owned();
        let media = upload(&alice).await;
        let peer_user = format!("@x:{}", self.peer.name);
        for (name, value) in [
            ("user", &*alice.id),
            ("token", &alice.token),
            ("device", &alice.device),
            ("openid", &openid),
            ("media", &media),
            ("server", "example.org"),
            ("peer", self.peer.name.as_str()),
            ("peer_user", &peer_user),
            ("alias", "#room:example.org"),
        ] {
            names.insert(name.to_owned(), value.to_owned());
        }
        drop(alice);
        self.names = names;
        let joined = self.peer.joins(&self.server, &self.names["room"], &peer_user).await;
        self.names.insert("peer_join".to_owned(), joined);
    }

    /// A line of `requests.jsonl` as a request. Handshakes get as far as the event that is handed
    /// over.
    pub async fn asking(&mut self, line: &Value) -> Asking {
        let (method, path) =
            line["of"].as_str().and_then(|of| of.split_once(' ')).expect("method and path");
        let mut names = BTreeMap::new();
        for (name, value) in line["params"].as_object().into_iter().flatten() {
            names.insert(name.clone(), self.filled(value.as_str().expect("a text")));
        }
        for (name, value) in PARAMETERS {
            names.entry(name.to_owned()).or_insert_with(|| self.filled(value));
        }
        let mut body = line.get("body").map(|body| self.filled_json(body));
        if let Some(kind) = line["handshake"].as_str() {
            let room = names["roomId"].clone();
            let (id, event) = self.handed_over(kind, &room).await;
            names.insert("eventId".to_owned(), id);
            body = Some(event);
        }
        let mut path = path.to_owned();
        for (name, value) in &names {
            path = path.replace(&format!("{{{name}}}"), &encoded(value));
        }
        if let Some(query) = line["query"].as_str() {
            let query = query.split('&').map(|pair| {
                let (name, value) = pair.split_once('=').expect("name and value");
                format!("{name}={}", encoded(&self.filled(value)))
            });
            path = format!("{path}?{}", query.collect::<Vec<_>>().join("&"));
        }
        Asking { method: method.parse().expect("a method"), path, body }
    }

    /// The event of a handshake's second step, signed, and its id.
    async fn handed_over(&self, kind: &str, room: &str) -> (String, Value) {
        let version = RoomVersionId::V11;
        if kind == "invite" {
            let event = invitation("!theirs:peer.example", "@x:peer.example", &self.names["user"]);
            let (id, event) = self.peer.signs(&event, &version);
            let body = json!({ "room_version": "11", "event": event, "invite_room_state": [] });
            return (id, body);
        }
        let user = if kind == "leave" { "@x:peer.example" } else { "@y:peer.example" };
        let template = self.peer.template(&self.server, kind, room, user).await.ok();
        self.peer.signs(&template["event"], &version)
    }

    /// The request, signed by the peer.
    pub fn signed(&self, asking: &Asking) -> Request<Body> {
        let body = asking.body.as_ref().map(|body| body.to_string().into_bytes());
        let to = self.server.data.server_name();
        self.peer.request(to, asking.method.clone(), &asking.path, body.unwrap_or_default())
    }

    /// The request of nobody in particular.
    pub fn bare(&self, asking: &Asking) -> Request<Body> {
        let body = asking.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let request = Request::builder().method(asking.method.clone()).uri(&*asking.path);
        request.body(Body::from(body)).expect("a request")
    }

    /// Ask it, signed.
    pub async fn ask(&self, asking: &Asking) -> Answer {
        self.server.send(self.signed(asking)).await
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.names {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    fn filled_json(&self, json: &Value) -> Value {
        serde_json::from_str(&self.filled(&json.to_string())).expect("still JSON")
    }
}

/// Say something; the event's id.
pub async fn say(who: &Client<'_>, room: &str, text: &str) -> String {
    let sent = try_say(who, room, text).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

/// Say something that may be refused.
pub async fn try_say(who: &Client<'_>, room: &str, text: &str) -> Answer {
    let path = format!("/v3/rooms/{room}/send/m.room.message/{}", encoded(text));
    who.put(&path, json!({ "msgtype": "m.text", "body": text })).await
}

/// What was said in a room, as far as somebody sees it.
pub async fn said(who: &Client<'_>, room: &str) -> Vec<String> {
    let path = format!("/v3/rooms/{room}/messages?dir=f&limit=100");
    let events = who.get(&path).await.ok()["chunk"].as_array().cloned().unwrap_or_default();
    let bodies = events.iter().filter_map(|event| event["content"]["body"].as_str());
    bodies.map(ToOwned::to_owned).collect()
}

async fn upload(who: &Client<'_>) -> String {
    let request = Request::post("/_matrix/media/v3/upload")
        .header("authorization", format!("Bearer {}", who.token))
        .header("content-type", "image/png")
        .body(Body::from(RED_PNG))
        .expect("a request");
    let stored = who.server.send(request).await.ok();
    let uri = stored["content_uri"].as_str().expect("an address");
    uri.rsplit('/').next().expect("a name").to_owned()
}

/// An invitation, before it is signed.
pub fn invitation(room: &str, from: &str, to: &str) -> Value {
    json!({
        "type": "m.room.member", "room_id": room, "sender": from, "state_key": to, "depth": 5,
        "content": { "membership": "invite" }, "origin_server_ts": 1_700_000_000_000_u64,
        "auth_events": ["$a"], "prev_events": ["$p"],
    })
}

/// As it stands in a path or a query.
pub fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!@:$,".contains(&byte);
    let bytes = value.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// A red picture, 100 pixels wide and high.
const RED_PNG: &[u8] = include_bytes!("../../../../../tests/it/cases/red.png");
