//! Round trips of whole requests, authentication and all, where the server is warm. A line of each
//! is printed (`cargo test -p blaupause-api budgets -- --nocapture`).

use blaupause_testkit::{Budget, budget};
use serde_json::{Value, json};

use crate::{
    rooms::{event_id, public, say},
    server::{Answer, Client, Server},
};

struct World<'s> {
    server: &'s Server,
    alice: Client<'s>,
    bob: Client<'s>,
    room: String,
}

impl World<'_> {
    /// A request that must succeed within its budget.
    async fn costs(
        &self,
        what: &str,
        (reads, commits): (u64, u64),
        request: impl Future<Output = Answer>,
    ) -> Value {
        budget(&self.server.store, what, Budget { reads, commits }, request).await.ok()
    }
}

async fn world(server: &Server) -> World<'_> {
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = public(&alice).await;
    bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    for n in 0..30 {
        say(&alice, &room, &format!("a{n}")).await.ok();
        say(&bob, &room, &format!("b{n}")).await.ok();
    }
    World { server, alice, bob, room }
}

#[tokio::test]
async fn saying_something_is_one_read_and_one_commit() {
    let server = Server::new().await;
    let world = world(&server).await;
    let (alice, room) = (&world.alice, &world.room);
    let text = json!({ "msgtype": "m.text", "body": "hi" });
    // Followers of the room's events read beside the requests, so the cheapest of a few counts.
    let mut cheapest = (u64::MAX, u64::MAX);
    for n in 0..5 {
        let before = server.store.round_trips();
        let path = format!("/v3/rooms/{room}/send/m.room.message/n{n}");
        alice.put(&path, text.clone()).await.ok();
        let after = server.store.round_trips();
        cheapest = cheapest.min((after.0 - before.0, after.1 - before.1));
    }
    assert_eq!(cheapest, (1, 1), "reads and commits of PUT send");
    let path = format!("/v3/rooms/{room}/send/m.room.message/n4");
    world.costs("PUT send, repeated", (1, 0), alice.put(&path, text)).await;
    let path = format!("/v3/rooms/{room}/state/m.room.topic");
    world.costs("PUT state, first", (2, 1), alice.put(&path, json!({ "topic": "a" }))).await;
    world.costs("PUT state", (1, 1), alice.put(&path, json!({ "topic": "b" }))).await;
    world.costs("PUT state, the same", (1, 0), alice.put(&path, json!({ "topic": "b" }))).await;
    let event = event_id(say(alice, room, "oops").await);
    let path = format!("/v3/rooms/{room}/redact/{event}/2");
    world.costs("PUT redact", (2, 1), alice.put(&path, json!({}))).await;
}

#[tokio::test]
async fn reading_a_room_is_few_reads() {
    let server = Server::new().await;
    let world = world(&server).await;
    let (bob, room) = (&world.bob, &world.room);
    let event = event_id(say(bob, room, "here").await);
    let paths = [
        ("GET messages", "messages?dir=b&limit=50".to_owned(), 3),
        ("GET messages, lazy", lazy("messages?dir=b&limit=50"), 3),
        ("GET context", format!("context/{event}?limit=20"), 9),
        ("GET event", format!("event/{event}"), 3),
        ("GET members", "members".to_owned(), 3),
        ("GET joined_members", "joined_members".to_owned(), 2),
        ("GET state", "state".to_owned(), 3),
        ("GET state event", "state/m.room.create/".to_owned(), 3),
        ("GET relations", format!("relations/{event}"), 4),
        ("GET threads", "threads".to_owned(), 3),
    ];
    for (what, path, reads) in paths {
        let path = format!("/v1/rooms/{room}/{path}");
        let path = if what.contains("relations") || what.contains("threads") {
            path
        } else {
            path.replacen("/v1/", "/v3/", 1)
        };
        bob.get(&path).await.ok();
        world.costs(what, (reads, 0), bob.get(&path)).await;
    }
}

fn lazy(path: &str) -> String {
    format!("{path}&filter=%7B%22lazy_load_members%22%3Atrue%7D")
}

#[tokio::test]
async fn coming_and_going_is_few_reads() {
    let server = Server::new().await;
    let world = world(&server).await;
    let (alice, bob) = (&world.alice, &world.bob);
    let create = json!({ "name": "Tea", "invite": [bob.id], "preset": "private_chat" });
    let made = world.costs("POST createRoom", (4, 1), alice.post("/v3/createRoom", create)).await;
    let room = made["room_id"].as_str().expect("a room");
    let act = |action: &str| format!("/v3/rooms/{room}/{action}");
    let on_bob = json!({ "user_id": bob.id });
    world.costs("POST join", (10, 1), bob.post(&act("join"), json!({}))).await;
    world.costs("POST leave", (4, 1), bob.post(&act("leave"), json!({}))).await;
    world.costs("POST invite", (4, 1), alice.post(&act("invite"), on_bob.clone())).await;
    world.costs("POST kick", (4, 1), alice.post(&act("kick"), on_bob.clone())).await;
    world.costs("POST ban", (4, 1), alice.post(&act("ban"), on_bob.clone())).await;
    world.costs("POST unban", (4, 1), alice.post(&act("unban"), on_bob)).await;
    world.costs("GET joined_rooms", (1, 0), alice.get("/v3/joined_rooms")).await;
}

#[tokio::test]
async fn small_signals_are_cheap() {
    let server = Server::new().await;
    let world = world(&server).await;
    let (bob, room) = (&world.bob, &world.room);
    let typing = format!("/v3/rooms/{room}/typing/{}", bob.id);
    let types = || bob.put(&typing, json!({ "typing": true, "timeout": 5_000 }));
    types().await.ok();
    world.costs("PUT typing", (0, 0), types()).await;
    let event = event_id(say(&world.alice, room, "w").await);
    bob.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let event = event_id(say(&world.alice, room, "x").await);
    let receipt = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    world.costs("POST receipt", (4, 1), bob.post(&receipt, json!({}))).await;
    let event = event_id(say(&world.alice, room, "y").await);
    let markers = json!({ "m.fully_read": event, "m.read": event, "m.read.private": event });
    let path = format!("/v3/rooms/{room}/read_markers");
    world.costs("POST read_markers", (8, 2), bob.post(&path, markers)).await;
    let data = format!("/v3/user/{}/account_data/org.example", bob.id);
    world.costs("PUT account_data", (2, 1), bob.put(&data, json!({ "a": 1 }))).await;
    world.costs("GET account_data", (1, 0), bob.get(&data)).await;
    let name = format!("/v3/profile/{}/displayname", bob.id);
    world.costs("PUT displayname", (2, 1), bob.put(&name, json!({ "displayname": "B" }))).await;
    world.costs("GET displayname", (2, 0), bob.get(&name)).await;
    world.costs("GET whoami", (0, 0), bob.get("/v3/account/whoami")).await;
}

#[tokio::test]
async fn keys_and_messages_to_devices_are_few_reads() {
    let server = Server::new().await;
    let world = world(&server).await;
    let (alice, bob) = (&world.alice, &world.bob);
    let key = |n: usize| (format!("curve25519:K{n}"), Value::from(format!("key {n}")));
    let keys: serde_json::Map<_, _> = (0..50).map(key).collect();
    let upload = json!({ "one_time_keys": keys });
    world.costs("POST keys/upload", (3, 1), bob.post("/v3/keys/upload", upload)).await;
    let mut people = serde_json::Map::new();
    let mut devices = serde_json::Map::new();
    for n in 0..30 {
        let user = server.user(&format!("user{n}")).await;
        people.insert(user.id.clone(), json!([]));
        devices.insert(user.id.clone(), json!({ "*": { "n": n } }));
    }
    let query = json!({ "device_keys": people });
    world.costs("POST keys/query, 30 users", (2, 0), alice.post("/v3/keys/query", query)).await;
    let claim = json!({ "one_time_keys": { &bob.id: { &bob.device: "curve25519" } } });
    world.costs("POST keys/claim", (1, 1), alice.post("/v3/keys/claim", claim)).await;
    let messages = json!({ "messages": devices });
    let send = alice.put("/v3/sendToDevice/m.test/1", messages);
    world.costs("PUT sendToDevice, 30 devices", (2, 1), send).await;
}
