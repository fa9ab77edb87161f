//! Closed federation: every place where a server that is not on the list could get in, or something
//! could get out to it (issue 5, point 6).

mod listed;
mod mixed;

use blaupause_federation::Settings;
use blaupause_policy::{FederationMode, MixedRooms, ServerPattern, ServerPolicy};
use http::{Method, StatusCode};
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{
    network::Network,
    peer::Peer,
    world::{said, try_say},
};
use crate::server::{Answer, Client, Server};

/// Somebody of the friend, and of the stranger.
const BOB: &str = "@bob:b.example";
const MALLORY: &str = "@mallory:x.example";

/// Our server, which speaks with `b.example` only, and a room of it with somebody of that server.
struct Scene {
    a: Server,
    /// The friend.
    b: Peer,
    /// The stranger.
    x: Peer,
    room: String,
}

fn policy(names: &[&str], mixed_rooms: MixedRooms) -> ServerPolicy {
    let allow = names.iter().map(|name| name.parse::<ServerPattern>().expect("a pattern"));
    let (mode, allow) = (FederationMode::Closed, allow.collect());
    ServerPolicy { mode, allow, mixed_rooms, ..ServerPolicy::default() }
}

fn only(names: &[&str]) -> ServerPolicy {
    policy(names, MixedRooms::Refuse)
}

impl Scene {
    async fn new(servers: ServerPolicy) -> Self {
        let network = Network::new();
        let (b, x) = (Peer::new(&network, "b.example"), Peer::new(&network, "x.example"));
        // The friend vouches for keys of servers that we do not ask.
        let vouched = b.signed_json(x.key_document(network.env.now_millis() + 1_000_000));
        b.answers("/_matrix/key/v2/query", json!({ "server_keys": [vouched] }));
        let notaries = vec![b.name.clone()];
        let settings = Settings { servers, notaries, ..Settings::default() };
        let a = network.server_with("a.example", settings).await;
        let room = {
            let alice = a.user("alice").await;
            let how = json!({ "preset": "public_chat", "room_version": "11" });
            let made = alice.post("/v3/createRoom", how).await.ok();
            made["room_id"].as_str().expect("an id").to_owned()
        };
        b.joins(&a, &room, BOB).await;
        Self { a, b, x, room }
    }

    async fn alice(&self) -> Client<'_> {
        self.a.sign_in("alice").await
    }

    async fn say(&self, who: &Client<'_>, text: &str) -> Answer {
        try_say(who, &self.room, text).await
    }

    async fn said(&self, who: &Client<'_>) -> Vec<String> {
        said(who, &self.room).await
    }

    /// A member event of the stranger about themselves, signed: as a friend would pass it on.
    async fn stranger(&self, membership: &str) -> Value {
        let mut event = self.b.draft(&self.a, &self.room, MALLORY, "m.room.member").await;
        let state = self.b.state(&self.a, &self.room).await;
        let rules = state.iter().find(|(_, event)| event["type"] == "m.room.join_rules");
        let rules = json!(rules.expect("join rules").0);
        event["auth_events"].as_array_mut().expect("a list").push(rules);
        event["state_key"] = json!(MALLORY);
        event["content"] = json!({ "membership": membership });
        self.x.signs(&event, &RoomVersionId::V11).1
    }

    /// A message of the stranger, signed.
    async fn strange_message(&self, text: &str) -> Value {
        let mut event = self.b.draft(&self.a, &self.room, MALLORY, "m.room.message").await;
        event["content"] = json!({ "msgtype": "m.text", "body": text });
        self.x.signs(&event, &RoomVersionId::V11).1
    }

    async fn membership(&self, who: &Client<'_>, user: &str) -> String {
        let path = format!("/v3/rooms/{}/state/m.room.member/{user}", self.room);
        who.get(&path).await.body["membership"].as_str().unwrap_or_default().to_owned()
    }

    /// Nobody spoke with the stranger.
    #[track_caller]
    fn is_silent_to_strangers(&self) {
        let asked: Vec<String> = self.x.asked("").into_iter().map(|asked| asked.path).collect();
        assert_eq!(asked, Vec::<String>::new());
    }
}

#[track_caller]
fn is_refused_for(answer: &Answer, server: &str) {
    answer.refused(403, "M_FORBIDDEN");
    let error = answer.body["error"].as_str().unwrap_or_default();
    assert!(error.contains(server), "{error}");
}
