//! Events that are asked for are checked like events that are sent, whatever the way they come.

use axum::body::Body;
use blaupause_data::rows::EventNoRow;
use http::{Request, header};
use ruma::{
    RoomId,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
};
use serde_json::{Value, json};

use crate::{
    federation::{
        network::Network,
        world::{encoded, say},
    },
    server::{Client, Server},
};

/// Two servers, and a room of Bob's that Alice is in.
struct Pair {
    network: Network,
    a: Server,
    b: Server,
    room: String,
}

impl Pair {
    async fn new() -> Self {
        let network = Network::new();
        let (a, b) = (network.server("a.example").await, network.server("b.example").await);
        let bob = b.user("bob").await;
        a.user("alice").await;
        let how = json!({ "preset": "public_chat", "room_version": "11", "name": "Amt" });
        let made = bob.post("/v3/createRoom", how).await.ok();
        let room = made["room_id"].as_str().expect("an id").to_owned();
        Self { network, a, b, room }
    }

    async fn alice(&self) -> Client<'_> {
        self.a.sign_in("alice").await
    }

    async fn bob(&self) -> Client<'_> {
        self.b.sign_in("bob").await
    }

    async fn joined(self) -> Self {
        let path = format!("/v3/join/{}?via=b.example", self.room);
        self.alice().await.post(&path, json!({})).await.ok();
        self
    }

    /// Bob's server brings an event, and it is judged.
    async fn passes_on(&self, id: &str) {
        let room = <&RoomId>::try_from(&*self.room).expect("an id");
        let data = &self.b.data;
        let part = data.parts().room(room);
        let no = data.get::<EventNoRow>(part, &data.parts().hash16(id)).await.expect("read");
        let event = data.event(part, no.expect("known").value).await.expect("read");
        let pdu: Value = serde_json::from_str(&event.expect("stored").stored.pdu).expect("JSON");
        let body = json!({ "origin": "b.example", "origin_server_ts": 1, "pdus": [pdu] });
        let path = format!("/_matrix/federation/v1/send/{}", encoded(id));
        let request = Request::put(path).body(body.to_string().into_bytes());
        let mut request = request.expect("a request");
        let sign = XMatrixSigningInput::new(
            data.server_name().to_owned(),
            self.a.data.server_name().to_owned(),
            data.signing_key().pair(),
        );
        let value = XMatrix::sign_http_request(&request, sign).expect("it can be signed");
        request.headers_mut().insert(header::AUTHORIZATION, (&value).into());
        self.a.send(request.map(Body::from)).await.ok();
        self.a.rooms.intake().await;
    }

    /// What Alice finds in the room's history.
    async fn history(&self) -> String {
        let path = format!("/v3/rooms/{}/messages?dir=b&limit=100", self.room);
        let mut all = String::new();
        for _ in 0..3 {
            all.push_str(&self.alice().await.get(&path).await.ok()["chunk"].to_string());
        }
        all
    }

    /// The events in which this is are signed wrongly when Bob's server answers with them.
    fn spoil(&self, path: &str, what: &'static str) {
        self.network.alter(&self.b, path, move |body| spoil(body, what));
    }
}

fn spoil(json: &mut Value, what: &str) {
    match json {
        Value::Object(fields)
            if fields.contains_key("signatures")
                && Value::from(fields.clone()).to_string().contains(what) =>
        {
            fields["signatures"] = json!({ "b.example": { "ed25519:x": "A".repeat(86) } });
        }
        Value::Object(fields) => fields.values_mut().for_each(|value| spoil(value, what)),
        Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, what)),
        _ => {}
    }
}

#[tokio::test]
async fn missing_events_with_wrong_signatures_are_left_out_and_the_room_goes_on() {
    let pair = Pair::new().await.joined().await;
    let bob = pair.bob().await;
    for text in ["one", "two-forged", "three"] {
        say(&bob, &pair.room, text).await;
    }
    let last = say(&bob, &pair.room, "last").await;
    pair.spoil("get_missing_events", "two-forged");
    // Nobody else has it either.
    pair.spoil("/event/", "two-forged");
    pair.spoil("/backfill/", "two-forged");
    pair.passes_on(&last).await;
    let history = pair.history().await;
    assert!(pair.network.count(&pair.b, "get_missing_events") > 0);
    assert!(!history.contains("two-forged"), "{history}");
    say(&pair.alice().await, &pair.room, "still-here").await;
}

#[tokio::test]
async fn history_with_wrong_signatures_is_left_out() {
    let pair = Pair::new().await;
    let bob = pair.bob().await;
    for text in ["one", "two-forged", "three"] {
        say(&bob, &pair.room, text).await;
    }
    for path in ["/backfill/", "get_missing_events", "/event/"] {
        pair.spoil(path, "two-forged");
    }
    let pair = Pair { ..pair }.joined().await;
    let history = pair.history().await;
    assert!(pair.network.count(&pair.b, "/backfill/") > 0);
    assert!(!history.contains("two-forged"), "{history}");
    assert!(history.contains("three"), "{history}");
}

#[tokio::test]
async fn state_with_wrong_signatures_is_not_taken_over_at_a_join() {
    let pair = Pair::new().await;
    pair.spoil("send_join", "\"name\":\"Amt\"");
    let pair = pair.joined().await;
    let path = format!("/v3/rooms/{}/state/m.room.name/", pair.room);
    pair.alice().await.get(&path).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn state_behind_a_gap_is_checked_and_does_not_replace_ours() {
    // What the other server says of the state: forged; cut down; of nothing.
    for way in ["forged", "cut down", "nothing"] {
        let pair = Pair::new().await.joined().await;
        let bob = pair.bob().await;
        let topic = format!("/v3/rooms/{}/state/m.room.topic/", pair.room);
        bob.put(&topic, json!({ "topic": "forged-topic" })).await.ok();
        say(&bob, &pair.room, "between").await;
        let last = say(&bob, &pair.room, "last").await;
        pair.network.alter(&pair.b, "get_missing_events", |body| body["events"] = json!([]));
        match way {
            "forged" => {
                for path in ["/state/", "/event/", "/event_auth/"] {
                    pair.spoil(path, "forged-topic");
                }
            }
            _ => {
                let keep = if way == "nothing" { 0 } else { 1 };
                pair.network.alter(&pair.b, "/state_ids/", move |body| {
                    body["pdu_ids"].as_array_mut().expect("a list").truncate(keep);
                });
                pair.network.alter(&pair.b, "/state/", move |body| {
                    body["pdus"].as_array_mut().expect("a list").truncate(keep);
                });
            }
        }
        pair.passes_on(&last).await;
        let alice = pair.alice().await;
        if way == "forged" {
            let told = alice.get(&topic).await;
            assert_ne!(told.body["topic"], "forged-topic", "{way}");
        }
        for kind in ["m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.name"] {
            let path = format!("/v3/rooms/{}/state/{kind}/", pair.room);
            assert_eq!(alice.get(&path).await.status, 200, "{way} {kind}");
        }
        let members = format!("/v3/rooms/{}/joined_members", pair.room);
        let members = alice.get(&members).await.ok();
        assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(2), "{way}");
        say(&alice, &pair.room, "still-here").await;
    }
}

#[tokio::test]
async fn what_an_event_rests_on_is_checked_too() {
    let pair = Pair::new().await.joined().await;
    let bob = pair.bob().await;
    // His new levels are what his topic rests on.
    let path = format!("/v3/rooms/{}/state/m.room.power_levels/", pair.room);
    let mut levels = bob.get(&path).await.ok();
    levels["events"]["forged-levels"] = json!(7);
    bob.put(&path, levels).await.ok();
    let topic = format!("/v3/rooms/{}/state/m.room.topic/", pair.room);
    let topic = bob.put(&topic, json!({ "topic": "tea" })).await.ok();
    for path in ["/state/", "/event/", "/event_auth/", "get_missing_events"] {
        pair.spoil(path, "forged-levels");
    }
    pair.passes_on(topic["event_id"].as_str().expect("an id")).await;
    let alice = pair.alice().await;
    let told = alice.get(&path).await.ok();
    assert!(told["events"].get("forged-levels").is_none(), "{told}");
    say(&alice, &pair.room, "still-here").await;
}
