//! A server with Alice on it, a peer with somebody in Alice's room.

use http::Method;
use ruma::RoomVersionId;
use serde_json::{Value, json};

use crate::{
    federation::{
        network::Network,
        peer::Peer,
        world::{encoded, say},
    },
    server::{Client, Server},
};

/// Who is in the room for the peer.
pub const X: &str = "@x:peer.example";

pub struct Scene {
    pub network: Network,
    pub a: Server,
    pub peer: Peer,
    pub room: String,
    token: String,
}

impl Scene {
    /// A public room, in which X is a member like any other.
    pub async fn new(version: &str) -> Self {
        Self::of(json!({ "preset": "public_chat", "room_version": version })).await
    }

    /// A room in which X has as much power as Alice.
    pub async fn with_power(version: &str) -> Self {
        let scene = Self::new(version).await;
        scene.set_levels(|levels| levels["users"][X] = json!(100)).await;
        scene
    }

    pub async fn of(how: Value) -> Self {
        let network = Network::new();
        let a = network.server("a.example").await;
        let peer = Peer::new(&network, "peer.example");
        let alice = a.user("alice").await;
        let made = alice.post("/v3/createRoom", how).await.ok();
        let room = made["room_id"].as_str().expect("an id").to_owned();
        say(&alice, &room, "first").await;
        let token = alice.token.clone();
        drop(alice);
        peer.joins(&a, &room, X).await;
        Self { network, a, peer, room, token }
    }

    pub fn alice(&self) -> Client<'_> {
        Client {
            server: &self.a,
            id: "@alice:a.example".to_owned(),
            token: self.token.clone(),
            device: String::new(),
        }
    }

    /// Other power levels, set by Alice.
    pub async fn set_levels(&self, change: impl FnOnce(&mut Value)) {
        let path = format!("/v3/rooms/{}/state/m.room.power_levels/", self.room);
        let alice = self.alice();
        let mut levels = alice.get(&path).await.ok();
        change(&mut levels);
        alice.put(&path, levels).await.ok();
    }

    /// An event of X, at the end of the room, that would be fine.
    pub async fn draft(&self, kind: &str, content: Value) -> Value {
        let mut event = self.peer.draft(&self.a, &self.room, X, kind).await;
        event["content"] = content;
        event
    }

    /// A state event of X.
    pub async fn state(&self, kind: &str, key: &str, content: Value) -> Value {
        let mut event = self.draft(kind, content).await;
        event["state_key"] = json!(key);
        event
    }

    /// A message of X.
    pub async fn message(&self, text: &str) -> Value {
        self.draft("m.room.message", json!({ "msgtype": "m.text", "body": text })).await
    }

    /// X's server brings an event; what Alice sees of it.
    pub async fn brings(&self, event: &Value) -> Option<Value> {
        let id = self.peer.brings(&self.a, &self.room, event).await;
        self.seen(&id).await
    }

    /// What Alice sees of an event.
    pub async fn seen(&self, id: &str) -> Option<Value> {
        let path = format!("/v3/rooms/{}/event/{}", self.room, encoded(id));
        let answer = self.alice().get(&path).await;
        (answer.status == 200).then_some(answer.body)
    }

    /// The content of a state event, as Alice sees it.
    pub async fn current(&self, kind: &str, key: &str) -> Value {
        let path = format!("/v3/rooms/{}/state/{kind}/{key}", self.room);
        self.alice().get(&path).await.body
    }

    /// The event behind a name of the room's state, id first.
    pub async fn state_id(&self, kind: &str, key: &str) -> String {
        let state = self.peer.state(&self.a, &self.room).await;
        let found =
            state.into_iter().find(|(_, event)| event["type"] == kind && event["state_key"] == key);
        found.expect("it is set").0
    }

    /// The room and everybody in it are as well as before: Alice speaks, and reads what she said.
    pub async fn is_well(&self, what: &str) {
        let alice = self.alice();
        let path = format!("/v3/rooms/{}/send/m.room.message/{}", self.room, encoded(what));
        let sent = alice.put(&path, json!({ "msgtype": "m.text", "body": what })).await;
        let sent = sent.ok()["event_id"].clone();
        let path = format!("/v3/rooms/{}/messages?dir=b&limit=1", self.room);
        let last = alice.get(&path).await.ok();
        assert_eq!(last["chunk"][0]["event_id"], sent, "{what}: hers is the last");
        self.is_readable(what).await;
    }

    /// Everything that Alice may read of the room can be read.
    pub async fn is_readable(&self, what: &str) {
        let (alice, room) = (self.alice(), &self.room);
        for path in [
            "/v3/sync?timeout=0".to_owned(),
            format!("/v3/rooms/{room}/messages?dir=b&limit=100"),
            format!("/v3/rooms/{room}/members"),
            format!("/v3/rooms/{room}/joined_members"),
            format!("/v3/rooms/{room}/state"),
            format!("/v1/rooms/{room}/hierarchy"),
            format!("/v1/room_summary/{room}"),
            "/v3/publicRooms".to_owned(),
            "/v3/notifications".to_owned(),
        ] {
            let answer = alice.get(&path).await;
            assert!(
                answer.status.as_u16() < 400,
                "{what} {path}: {} {}",
                answer.status,
                answer.body
            );
        }
        let list = json!({ "ranges": [[0, 9]], "timeline_limit": 20,
            "required_state": [["*", "*"]] });
        let body = json!({ "lists": { "all": list } });
        let sliding = alice.post("/unstable/org.matrix.simplified_msc3575/sync", body).await.ok();
        let shown = &sliding["rooms"][room];
        for field in ["name", "avatar"] {
            let value = &shown[field];
            assert!(value.is_null() || value.is_string(), "{what}: {field} is {value}");
        }
        for hero in shown["heroes"].as_array().into_iter().flatten() {
            for field in ["displayname", "avatar_url"] {
                let value = &hero[field];
                assert!(value.is_null() || value.is_string(), "{what}: {field} of {hero}");
            }
        }
    }

    /// Somebody else of the peer joins, if they may.
    pub async fn may_join(&self, user: &str) -> bool {
        let template = self.peer.template(&self.a, "join", &self.room, user).await;
        if template.status != 200 {
            return false;
        }
        let event = &template.body["event"];
        self.peer.hands_over(&self.a, "join", &self.room, event).await.status == 200
    }

    /// The version of the room.
    pub async fn version(&self) -> RoomVersionId {
        self.peer.version_of(&self.a, &self.room).await
    }

    /// What the peer reads in the room.
    pub async fn reads(&self, path: &str) -> crate::server::Answer {
        self.peer.asks(&self.a, Method::GET, path, None).await
    }
}
