//! How rooms were read before `/sync`, and rooms that one is not in.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Client, Server};

async fn room(of: &Client<'_>, body: Value) -> String {
    let made = of.post("/v3/createRoom", body).await.ok();
    made["room_id"].as_str().expect("an id").to_owned()
}

async fn say(who: &Client<'_>, room: &str, text: &str) -> String {
    let body = json!({ "msgtype": "m.text", "body": text });
    let path = format!("/v3/rooms/{room}/send/m.room.message/{text}");
    let sent = who.put(&path, body).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

fn world_readable() -> Value {
    let content = json!({ "history_visibility": "world_readable" });
    let kind = "m.room.history_visibility";
    json!({ "initial_state": [{ "type": kind, "state_key": "", "content": content }] })
}

/// The texts of messages in a chunk.
fn texts(answer: &Value) -> Vec<&str> {
    let chunk = answer["chunk"].as_array().expect("a list").iter();
    chunk.filter_map(|event| event["content"]["body"].as_str()).collect()
}

#[tokio::test]
async fn the_event_stream_tells_what_happens_in_ones_rooms() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let (here, elsewhere) = (room(&alice, json!({})).await, room(&bob, json!({})).await);
    let start = alice.get("/v3/events?timeout=0").await.ok();
    assert_eq!(texts(&start), Vec::<&str>::new());
    let from = start["end"].as_str().expect("a token");
    say(&alice, &here, "one").await;
    say(&bob, &elsewhere, "hidden").await;
    say(&alice, &here, "two").await;
    let news = alice.get(&format!("/v3/events?timeout=0&from={from}")).await.ok();
    assert_eq!((texts(&news), &news["start"]), (vec!["one", "two"], &start["end"]));
    assert_eq!(news["chunk"][0]["room_id"], here.as_str());
    bob.post(&format!("/v3/rooms/{elsewhere}/invite"), json!({ "user_id": alice.id })).await.ok();
    let from = news["end"].as_str().expect("a token");
    let invited = alice.get(&format!("/v3/events?timeout=0&from={from}")).await.ok();
    assert_eq!(invited["chunk"][0]["content"]["membership"], "invite");
    let from = invited["end"].as_str().expect("a token");
    let silence = alice.get(&format!("/v3/events?timeout=0&from={from}")).await.ok();
    assert_eq!(silence["chunk"], json!([]));
}

#[tokio::test]
async fn more_events_than_a_page_come_in_one_answer_and_in_order() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice, json!({})).await;
    let start = alice.get("/v3/events?timeout=0").await.ok();
    for number in 0..150 {
        say(&alice, &room, &number.to_string()).await;
    }
    let from = start["end"].as_str().expect("a token");
    let news = alice.get(&format!("/v3/events?timeout=0&from={from}")).await.ok();
    let wanted: Vec<_> = (0..150).map(|number| number.to_string()).collect();
    assert_eq!(texts(&news), wanted);
}

#[tokio::test]
async fn who_listens_is_woken() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice, world_readable()).await;
    for path in
        ["/v3/events?timeout=60000".to_owned(), format!("/v3/events?room_id={room}&timeout=60000")]
    {
        let listener = if path.contains("room_id") { &bob } else { &alice };
        let (heard, _) = tokio::join!(listener.get(&path), async {
            // Until the other one waits.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            say(&alice, &room, if path.contains("room_id") { "peeked" } else { "heard" }).await
        });
        assert_eq!(texts(&heard.ok()).len(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_room_is_peeked_into_only_if_everybody_may_read_it() {
    let server =
        Server::with(blaupause_accounts::Settings { guests: true, ..crate::server::settings() })
            .await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let guest = server.post_open("/v3/register?kind=guest", json!({})).await.ok();
    let guest = guest["access_token"].as_str().expect("a token");
    let (open, closed) = (room(&alice, world_readable()).await, room(&alice, json!({})).await);
    let start = bob.get(&format!("/v3/events?room_id={open}&timeout=0")).await.ok();
    say(&alice, &open, "open").await;
    say(&alice, &closed, "closed").await;
    let from = start["end"].as_str().expect("a token");
    let path = |room: &str| format!("/v3/events?room_id={room}&timeout=0&from={from}");
    assert_eq!(texts(&bob.get(&path(&open)).await.ok()), ["open"]);
    assert_eq!(texts(&server.get(&path(&open), guest).await.ok()), ["open"]);
    bob.get(&path(&closed)).await.refused(403, "M_FORBIDDEN");
    server.get(&path(&closed), guest).await.refused(403, "M_FORBIDDEN");
    bob.get(&path("!nowhere:example.org")).await.refused(403, "M_FORBIDDEN");
    for wrong in ["from=garbage", "from=s-1", "timeout=-1", "timeout=x", "room_id=x"] {
        bob.get(&format!("/v3/events?{wrong}")).await.refused(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn an_event_is_found_by_its_id_alone_by_who_may_see_it() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice, json!({})).await;
    let event = say(&alice, &room, "hello").await;
    let path = format!("/v3/events/{event}");
    let found = alice.get(&path).await.ok();
    assert_eq!((&found["event_id"], &found["room_id"]), (&json!(event), &json!(room)));
    bob.get(&path).await.refused(404, "M_NOT_FOUND");
    alice.get("/v3/events/$nothing").await.refused(404, "M_NOT_FOUND");
    alice.get("/v3/events/nothing").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn the_initial_sync_has_everything() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let joined = room(&alice, json!({ "visibility": "public" })).await;
    let invited = room(&bob, json!({ "invite": [alice.id] })).await;
    let left = room(&alice, json!({})).await;
    say(&alice, &left, "gone").await;
    alice.post(&format!("/v3/rooms/{left}/leave"), json!({})).await.ok();
    say(&alice, &joined, "one").await;
    say(&alice, &joined, "two").await;
    let tag = format!("/v3/user/{}/rooms/{joined}/tags/u.work", alice.id);
    alice.put(&tag, json!({})).await.ok();
    let all = alice.get("/v3/initialSync?limit=1").await.ok();
    let rooms: Vec<&Value> = all["rooms"].as_array().expect("a list").iter().collect();
    let find = |rooms: &[&Value], id: &str| {
        rooms.iter().find(|room| room["room_id"] == id).map(|room| (*room).clone())
    };
    let here = find(&rooms, &joined).expect("it is there");
    assert_eq!((&here["membership"], &here["visibility"]), (&json!("join"), &json!("public")));
    assert_eq!(texts(&here["messages"]), ["two"]);
    assert_eq!(here["account_data"][0]["type"], "m.tag");
    let kinds = here["state"].as_array().expect("a list").iter().map(|event| &event["type"]);
    assert!(kinds.into_iter().any(|kind| kind == "m.room.create"));
    let there = find(&rooms, &invited).expect("it is there");
    assert_eq!(there["invite"]["content"]["membership"], "invite");
    assert_eq!((there.get("messages"), &there["visibility"]), (None, &json!("private")));
    assert_eq!(find(&rooms, &left), None);
    let archived = alice.get("/v3/initialSync?archived=true").await.ok();
    let rooms: Vec<&Value> = archived["rooms"].as_array().expect("a list").iter().collect();
    let gone = find(&rooms, &left).expect("it is there");
    assert_eq!((&gone["membership"], texts(&gone["messages"])), (&json!("leave"), vec!["gone"]));
    let kinds = all["account_data"].as_array().expect("a list").iter().map(|data| &data["type"]);
    assert!(kinds.into_iter().any(|kind| kind == "m.push_rules"));
    // The event stream goes on from there.
    say(&alice, &joined, "three").await;
    let from = all["end"].as_str().expect("a token");
    let news = alice.get(&format!("/v3/events?timeout=0&from={from}")).await.ok();
    assert_eq!(texts(&news), ["three"]);
    // A page of older messages, too.
    let start = here["messages"]["start"].as_str().expect("a token");
    let older = format!("/v3/rooms/{joined}/messages?dir=b&from={start}&limit=1");
    assert_eq!(texts(&alice.get(&older).await.ok()), ["one"]);
    for wrong in ["limit=x", "limit=-1", "archived=1"] {
        let path = format!("/v3/initialSync?{wrong}");
        alice.get(&path).await.refused(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn a_slow_listener_is_answered_at_the_end_of_its_patience() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    tokio::time::pause();
    let path = "/v3/events?timeout=5000";
    let answer = tokio::time::timeout(Duration::from_secs(6), alice.get(path)).await;
    assert_eq!(answer.expect("in time").ok()["chunk"], json!([]));
}
