//! Messages whose time is over (MSC1763), as clients see it.

use std::time::Duration;

use blaupause_rooms::Retention;
use serde_json::{Value, json};

use crate::server::{Client, More, Server};

const DAY_MS: u64 = 86_400_000;
const CONFIGURATION: &str = "/unstable/org.matrix.msc1763/retention/configuration";

async fn server() -> Server {
    let retention = Retention {
        default_ms: Some(7 * DAY_MS),
        min_ms: DAY_MS,
        max_ms: Some(30 * DAY_MS),
        pause: Duration::from_secs(60),
    };
    let rooms = blaupause_rooms::Settings { retention: Some(retention), ..Default::default() };
    Server::with_more(More { rooms, ..More::default() }).await
}

async fn room(alice: &Client<'_>, lifetime: Option<u64>) -> String {
    let state = lifetime.map(|ms| {
        json!({ "type": "m.room.retention", "state_key": "", "content": { "max_lifetime": ms } })
    });
    let body = json!({ "name": "N", "initial_state": Vec::from_iter(state) });
    let room = alice.post("/v3/createRoom", body).await.ok();
    room["room_id"].as_str().expect("an id").to_owned()
}

async fn say(alice: &Client<'_>, room: &str, text: &str) -> String {
    let path = format!("/v3/rooms/{room}/send/m.room.message/{text}");
    let sent = alice.put(&path, json!({ "msgtype": "m.text", "body": text })).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

async fn days_pass(server: &Server, days: u64) {
    server.data.env().advance(Duration::from_millis(days * DAY_MS));
    server.rooms.expire().await.expect("removed");
}

/// What is said in a list of events.
fn texts(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    let messages = events.filter(|event| event["type"] == "m.room.message");
    messages.map(|event| event["content"]["body"].as_str().unwrap_or("-")).collect()
}

async fn found(alice: &Client<'_>, term: &str) -> usize {
    let body = json!({ "search_categories": { "room_events": { "search_term": term } } });
    let found = alice.post("/v3/search", body).await.ok();
    found["search_categories"]["room_events"]["results"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn old_messages_are_shown_nowhere_and_state_stays() {
    let server = server().await;
    let alice = server.user("alice").await;
    let room = room(&alice, None).await;
    let old = say(&alice, &room, "antique").await;
    let mut last = String::new();
    for n in 0..3 {
        last = say(&alice, &room, &format!("old{n}")).await;
    }
    assert_eq!(found(&alice, "antique").await, 1);
    days_pass(&server, 8).await;
    let new = say(&alice, &room, "new").await;
    for event in [&old, &last] {
        for path in ["event", "context"] {
            let gone = alice.get(&format!("/v3/rooms/{room}/{path}/{event}")).await;
            gone.refused(404, "M_NOT_FOUND");
        }
        let gone = alice.get(&format!("/v1/rooms/{room}/relations/{event}")).await;
        gone.refused(404, "M_NOT_FOUND");
    }
    assert_eq!(found(&alice, "antique").await, 0);
    let page = alice.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
    assert_eq!(texts(&page["chunk"]), ["new"]);
    let context = alice.get(&format!("/v3/rooms/{room}/context/{new}?limit=50")).await.ok();
    assert!(texts(&context["events_before"]).is_empty());
    let sync = alice.get("/v3/sync?timeout=0").await.ok();
    let shown = &sync["rooms"]["join"][&room];
    assert_eq!(texts(&shown["timeline"]["events"]), ["new"]);
    let name = alice.get(&format!("/v3/rooms/{room}/state/m.room.name")).await.ok();
    assert_eq!(name["name"], "N");
    // The look after that takes the one that was the last in the room.
    days_pass(&server, 1).await;
    let page = alice.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
    assert_eq!(texts(&page["chunk"]), ["new"]);
}

#[tokio::test]
async fn a_room_chooses_how_long_it_keeps_messages() {
    let server = server().await;
    let alice = server.user("alice").await;
    let rooms = [room(&alice, Some(20 * DAY_MS)).await, room(&alice, Some(365 * DAY_MS)).await];
    for room in &rooms {
        say(&alice, room, "a").await;
    }
    let counts = async || {
        let mut counts = [0; 2];
        for (room, count) in rooms.iter().zip(&mut counts) {
            let page = alice.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
            *count = texts(&page["chunk"]).len();
        }
        counts
    };
    days_pass(&server, 19).await;
    assert_eq!(counts().await, [1, 1]);
    days_pass(&server, 2).await;
    assert_eq!(counts().await, [0, 1]);
    // A year is more than is allowed.
    days_pass(&server, 10).await;
    assert_eq!(counts().await, [0, 0]);
}

#[tokio::test]
async fn the_configuration_is_told_where_it_is_kept() {
    let server = server().await;
    let alice = server.user("alice").await;
    let told = alice.get(CONFIGURATION).await.ok();
    let expected = json!({
        "policies": { "*": { "max_lifetime": 7 * DAY_MS } },
        "limits": { "max_lifetime": { "min": DAY_MS, "max": 30 * DAY_MS } },
    });
    assert_eq!(told, expected);
    server.call(http::Method::GET, CONFIGURATION, None, None).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn by_default_messages_are_kept() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice, Some(DAY_MS)).await;
    say(&alice, &room, "a").await;
    days_pass(&server, 10_000).await;
    let page = alice.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
    assert_eq!(texts(&page["chunk"]), ["a"]);
    alice.get(CONFIGURATION).await.refused(404, "M_UNRECOGNIZED");
}
