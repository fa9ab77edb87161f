//! Sticky events (MSC4354, MSC4480), as clients see them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::server::{Client, Server};

const SLIDING: &str = "/unstable/org.matrix.simplified_msc3575/sync";
const EXTENSION: &str = "org.matrix.msc4354.sticky_events";

async fn room(alice: &Client<'_>) -> String {
    let room = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    room["room_id"].as_str().expect("an id").to_owned()
}

async fn join(client: &Client<'_>, room: &str) {
    client.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
}

async fn stick(client: &Client<'_>, room: &str, txn: &str) -> String {
    let query = "org.matrix.msc4354.sticky_duration_ms=300000";
    let path = format!("/v3/rooms/{room}/send/m.rtc.member/{txn}?{query}");
    let sent = client.put(&path, json!({ "msc4354_sticky_key": txn })).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

async fn talk(client: &Client<'_>, room: &str, messages: u32) {
    for n in 0..messages {
        let path = format!("/v3/rooms/{room}/send/m.room.message/talk{n}");
        client.put(&path, json!({ "msgtype": "m.text", "body": "x" })).await.ok();
    }
}

async fn sync(client: &Client<'_>, since: Option<&str>) -> Value {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let filter = "%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:1%7D%7D%7D";
    client.get(&format!("/v3/sync?timeout=0&filter={filter}{since}")).await.ok()
}

fn next(answer: &Value) -> Option<&str> {
    answer["next_batch"].as_str()
}

fn ids(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    events.filter_map(|event| event["event_id"].as_str()).collect()
}

fn sticky<'a>(answer: &'a Value, room: &str) -> Vec<&'a str> {
    ids(&answer["rooms"]["join"][room]["msc4354_sticky"]["events"])
}

#[tokio::test]
async fn a_sticky_event_behind_a_gap_is_told_once_with_the_time_that_is_left() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    join(&bob, &room).await;
    let start = sync(&bob, None).await;
    let event = stick(&alice, &room, "a").await;
    talk(&alice, &room, 3).await;
    server.data.env().advance(Duration::from_secs(100));
    let answer = sync(&bob, next(&start)).await;
    assert_eq!(sticky(&answer, &room), [event.as_str()]);
    let told = &answer["rooms"]["join"][&room]["msc4354_sticky"]["events"][0];
    assert_eq!(told["msc4354_sticky"], json!({ "duration_ms": 300_000 }));
    assert_eq!(told["unsigned"]["msc4354_sticky_duration_ttl_ms"], 200_000);
    talk(&bob, &room, 1).await;
    let later = sync(&bob, next(&answer)).await;
    assert!(sticky(&later, &room).is_empty());
    assert!(later["rooms"]["join"][&room].get("msc4354_sticky").is_none());
}

#[tokio::test]
async fn an_event_of_the_timeline_is_not_told_beside_it() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice).await;
    let start = sync(&alice, None).await;
    let event = stick(&alice, &room, "a").await;
    let answer = sync(&alice, next(&start)).await;
    assert_eq!(ids(&answer["rooms"]["join"][&room]["timeline"]["events"]), [event.as_str()]);
    assert!(sticky(&answer, &room).is_empty());
    let one = alice.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
    assert_eq!(one["msc4354_sticky"]["duration_ms"], 300_000);
    server.data.env().advance(Duration::from_secs(300));
    let one = alice.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
    assert!(one["unsigned"].get("msc4354_sticky_duration_ttl_ms").is_none());
}

#[tokio::test]
async fn who_joins_later_is_told_of_what_still_sticks_also_after_a_restart() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    let start = sync(&bob, None).await;
    let event = stick(&alice, &room, "a").await;
    join(&bob, &room).await;
    let token = bob.token.clone();
    let server = server.restarted().await;
    let since = next(&start).expect("a token");
    let answer = server.get(&format!("/v3/sync?timeout=0&since={since}"), &token).await.ok();
    let beside = sticky(&answer, &room);
    let timeline = ids(&answer["rooms"]["join"][&room]["timeline"]["events"]);
    assert!(beside.contains(&event.as_str()) || timeline.contains(&event.as_str()));
    server.data.env().advance(Duration::from_secs(300));
    let answer = server.get("/v3/sync?timeout=0", &token).await.ok();
    assert!(sticky(&answer, &room).is_empty());
}

#[tokio::test]
async fn many_sticky_events_come_in_several_answers_without_a_wait() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    join(&bob, &room).await;
    let start = sync(&bob, None).await;
    let mut sent = Vec::new();
    for n in 0..130 {
        sent.push(stick(&alice, &room, &n.to_string()).await);
    }
    talk(&alice, &room, 1).await;
    let first = sync(&bob, next(&start)).await;
    let second = sync(&bob, next(&first)).await;
    let told: Vec<_> = sticky(&first, &room).into_iter().chain(sticky(&second, &room)).collect();
    assert_eq!(sticky(&first, &room).len(), 100);
    assert_eq!(told, sent);
    let third = sync(&bob, next(&second)).await;
    assert!(sticky(&third, &room).is_empty());
}

#[tokio::test]
async fn ignored_people_do_not_stick() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    join(&bob, &room).await;
    let ignored = json!({ "ignored_users": { alice.id.clone(): {} } });
    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", bob.id);
    bob.put(&path, ignored).await.ok();
    let start = sync(&bob, None).await;
    stick(&alice, &room, "a").await;
    talk(&bob, &room, 2).await;
    assert!(sticky(&sync(&bob, next(&start)).await, &room).is_empty());
}

#[tokio::test]
async fn the_extension_of_sliding_sync_tells_all_listed_rooms_once() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let (quiet, loud) = (room(&alice).await, room(&alice).await);
    join(&bob, &quiet).await;
    join(&bob, &loud).await;
    let event = stick(&alice, &quiet, "a").await;
    talk(&alice, &loud, 1).await;
    // The window holds the other room alone.
    let body = |since: Option<&str>| {
        json!({
            "lists": { "all": { "ranges": [[0, 0]], "timeline_limit": 1, "required_state": [] } },
            "extensions": { EXTENSION: { "enabled": true, "since": since } },
        })
    };
    let first = bob.post(&format!("{SLIDING}?timeout=0"), body(None)).await.ok();
    assert!(first["rooms"].get(&quiet).is_none());
    let told = &first["extensions"][EXTENSION];
    assert_eq!(ids(&told["rooms"][&quiet]["events"]), [event.as_str()]);
    let (pos, since) = (first["pos"].as_str(), told["next_batch"].as_str());
    let path = format!("{SLIDING}?timeout=0&pos={}", pos.expect("a position"));
    let second = bob.post(&path, body(since)).await.ok();
    assert!(second["extensions"].get(EXTENSION).is_none(), "{second}");
    // In the timeline of the same answer it is not told again.
    let shown = stick(&alice, &loud, "b").await;
    let pos = second["pos"].as_str().expect("a position");
    let third = bob.post(&format!("{SLIDING}?timeout=0&pos={pos}"), body(since)).await.ok();
    assert_eq!(ids(&third["rooms"][&loud]["timeline"]), [shown.as_str()]);
    assert!(third["extensions"][EXTENSION]["rooms"].get(&loud).is_none());
    assert!(third["extensions"][EXTENSION]["next_batch"].is_string());
}

#[tokio::test]
async fn a_duration_beyond_the_limit_is_refused_and_delays_take_one() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice).await;
    for bad in ["3600001", "-1", "x", ""] {
        let query = format!("org.matrix.msc4354.sticky_duration_ms={bad}");
        let send = format!("/v3/rooms/{room}/send/m.rtc.member/{bad}x?{query}");
        alice.put(&send, json!({})).await.refused(400, "M_INVALID_PARAM");
        let state = format!("/v3/rooms/{room}/state/m.room.topic/?{query}");
        alice.put(&state, json!({ "topic": "t" })).await.refused(400, "M_INVALID_PARAM");
    }
    let query = "org.matrix.msc4140.delay=1000&org.matrix.msc4354.sticky_duration_ms=60000";
    let path = format!("/v3/rooms/{room}/send/m.rtc.member/d?{query}");
    let delay = alice.put(&path, json!({})).await.ok();
    let query = "org.matrix.msc4354.sticky_duration_ms=60000";
    let path = format!("/v3/rooms/{room}/delayed_event/m.rtc.member/e?{query}");
    alice.put(&path, json!({ "delay_ms": 1_000, "content": {} })).await.ok();
    server.data.env().advance(Duration::from_secs(1));
    server.rooms.send_due().await.expect("sent");
    let delay = delay["delay_id"].as_str().expect("a delay");
    let ended = alice.get(&format!("/v1/delayed_events/{delay}")).await.ok();
    let event = ended["event_id"].as_str().expect("sent");
    let event = alice.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
    assert_eq!(event["msc4354_sticky"]["duration_ms"], 60_000);
    let answer = alice.get("/v3/sync?timeout=0").await.ok();
    let timeline = &answer["rooms"]["join"][&room]["timeline"]["events"];
    let sticks = timeline
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["unsigned"]["msc4354_sticky_duration_ttl_ms"] == 60_000);
    assert_eq!(sticks.count(), 2);
    let versions = server.call(Method::GET, "/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc4354"], true);
}
