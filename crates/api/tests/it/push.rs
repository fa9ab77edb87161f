//! Push gateways, end to end: a client sets a pusher, a gateway hears of what happens.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use blaupause_notify::{PushSettings, Settings};
use blaupause_outbound::{Outbound, OutboundSettings};
use serde_json::{Value, json};

use crate::server::{Client, Server};

/// A gateway that remembers what it was told and answers as the test wants.
#[derive(Clone, Default)]
struct Gateway(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    told: Vec<Value>,
    /// Answers to the next requests; afterwards everything is taken.
    answers: VecDeque<(u16, Value)>,
}

impl Gateway {
    /// Listens on a free port; gives the address for pushers.
    async fn start() -> (Self, String) {
        let gateway = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new()
            .route("/_matrix/push/v1/notify", post(notify))
            .with_state(gateway.clone());
        #[expect(clippy::disallowed_methods, reason = "there is no server here whose task it is")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        (gateway, format!("http://{address}/_matrix/push/v1/notify"))
    }

    fn answer(&self, status: u16, body: Value) {
        self.0.lock().expect("unpoisoned").answers.push_back((status, body));
    }

    /// What it was told since the last look.
    fn told(&self) -> Vec<Value> {
        let told = std::mem::take(&mut self.0.lock().expect("unpoisoned").told);
        told.into_iter().map(|mut told| told["notification"].take()).collect()
    }
}

async fn notify(
    State(gateway): State<Gateway>,
    Json(told): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut heard = gateway.0.lock().expect("unpoisoned");
    heard.told.push(told);
    let (status, body) = heard.answers.pop_front().unwrap_or((200, json!({ "rejected": [] })));
    (StatusCode::from_u16(status).expect("a status"), Json(body))
}

fn settings(strip_content: bool) -> Settings {
    let push =
        PushSettings { strip_content, allow_private_addresses: true, ..PushSettings::default() };
    Settings { push, ..Settings::default() }
}

struct World {
    server: Server,
    outbound: Outbound,
    gateway: Gateway,
    url: String,
}

impl World {
    async fn new(strip_content: bool) -> Self {
        let server = Server::with_notify(settings(strip_content)).await;
        let (gateway, url) = Gateway::start().await;
        let outbound = Outbound::new(OutboundSettings::default()).expect("certificates");
        let world = Self { server, outbound, gateway, url };
        world.server.notify.follow().await.expect("follows");
        world
    }

    /// What is noted and delivered now; gives what the gateway hears, and when there is more.
    async fn deliver(&self) -> (Vec<Value>, Option<u64>) {
        self.server.notify.follow().await.expect("follows");
        let next = self.server.notify.deliver_due(&self.outbound).await;
        (self.gateway.told(), next)
    }

    async fn told(&self) -> Vec<Value> {
        self.deliver().await.0
    }

    fn pusher(&self, key: &str, data: &Value) -> Value {
        let mut pusher = json!({
            "app_id": "org.example", "pushkey": key, "kind": "http", "lang": "en",
            "app_display_name": "a", "device_display_name": "d", "data": data,
        });
        pusher["data"]["url"] = json!(self.url);
        pusher
    }

    async fn set(&self, client: &Client<'_>, pusher: Value) {
        client.post("/v3/pushers/set", pusher).await.ok();
    }
}

async fn room_of(alice: &Client<'_>, others: &[&Client<'_>]) -> String {
    let body = json!({ "preset": "public_chat", "name": "Room" });
    let room = alice.post("/v3/createRoom", body).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    for other in others {
        other.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    }
    room
}

async fn say(client: &Client<'_>, room: &str, text: &str) -> String {
    let mut content = json!({ "msgtype": "m.text", "body": text });
    if text.contains("bob") {
        content["m.mentions"] = json!({ "user_ids": ["@bob:example.org"] });
    }
    let path = format!("/v3/rooms/{room}/send/m.room.message/{text}");
    let sent = client.put(&path.replace(' ', "_"), content).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

async fn read(client: &Client<'_>, room: &str, event: &str) {
    let path = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    client.post(&path, json!({})).await.ok();
}

#[tokio::test]
async fn a_gateway_is_told_once_and_of_everything() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({ "custom": 1 }))).await;
    assert!(world.told().await.is_empty(), "what was before the pusher is not its business");
    let event = say(&alice, &room, "hello bob").await;
    let [told] = &world.told().await[..] else { panic!("one notification") };
    assert_eq!(told["event_id"], json!(event));
    assert_eq!(told["room_id"], json!(room));
    assert_eq!((&told["type"], &told["sender"]), (&json!("m.room.message"), &json!(alice.id)));
    assert_eq!(told["content"]["body"], "hello bob");
    assert_eq!((&told["room_name"], &told["prio"]), (&json!("Room"), &json!("high")));
    assert_eq!(told["counts"], json!({ "unread": 1 }));
    let device = &told["devices"][0];
    assert_eq!((&device["app_id"], &device["pushkey"]), (&json!("org.example"), &json!("k")));
    assert_eq!(device["data"], json!({ "custom": 1 }));
    assert_eq!(device["tweaks"]["highlight"], true, "{told}");
    assert_eq!(device["pushkey_ts"], 1_700_000_000);
    assert!(world.told().await.is_empty(), "once");
}

#[tokio::test]
async fn a_gateway_that_fails_is_asked_again_after_a_pause_and_nothing_is_lost() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({}))).await;
    world.gateway.answer(502, json!({}));
    world.gateway.answer(429, json!({}));
    let first = say(&alice, &room, "one").await;
    let now = world.server.data.env().now_millis();
    let (told, next) = world.deliver().await;
    assert_eq!((told.len(), next), (1, Some(now + 1_000)));
    let second = say(&alice, &room, "two").await;
    assert!(world.told().await.is_empty(), "it is left alone for a while");
    world.server.data.env().advance(Duration::from_millis(1_000));
    let (told, next) = world.deliver().await;
    assert_eq!((told.len(), next), (1, Some(now + 3_000)), "the next pause is longer");
    world.server.data.env().advance(Duration::from_millis(2_000));
    let told = world.told().await;
    let ids: Vec<_> = told.iter().map(|told| told["event_id"].clone()).collect();
    assert_eq!(ids, [json!(first), json!(second)]);
}

#[tokio::test]
async fn what_was_not_delivered_before_a_restart_is_delivered_after_it_and_once() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({}))).await;
    say(&alice, &room, "delivered").await;
    assert_eq!(world.told().await.len(), 1);
    world.gateway.answer(500, json!({}));
    let noted = say(&alice, &room, "noted").await;
    assert_eq!(world.told().await.len(), 1);
    let unnoted = say(&alice, &room, "unnoted").await;
    let server = world.server.restarted_with_notify(settings(false)).await;
    server.notify.load_debts().await.expect("loads");
    server.notify.follow().await.expect("follows");
    assert_eq!(server.notify.deliver_due(&world.outbound).await, None);
    let told = world.gateway.told();
    let ids: Vec<_> = told.iter().map(|told| told["event_id"].clone()).collect();
    assert_eq!(ids, [json!(noted), json!(unnoted)]);
    server.notify.load_debts().await.expect("loads");
    server.notify.deliver_due(&world.outbound).await;
    assert!(world.gateway.told().is_empty());
}

#[tokio::test]
async fn what_is_old_or_read_is_not_worth_telling() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({}))).await;
    world.gateway.answer(500, json!({}));
    let event = say(&alice, &room, "read meanwhile").await;
    assert_eq!(world.told().await.len(), 1);
    read(&bob, &room, &event).await;
    world.server.data.env().advance(Duration::from_secs(10));
    assert!(world.told().await.is_empty());
    world.gateway.answer(500, json!({}));
    say(&alice, &room, "old").await;
    assert_eq!(world.told().await.len(), 1);
    world.server.data.env().advance(Duration::from_secs(24 * 60 * 60));
    let told = world.told().await;
    assert!(told.iter().all(|told| told.get("event_id").is_none()), "{told:?}");
}

#[tokio::test]
async fn a_rejected_push_key_ends_its_pusher() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    for key in ["gone", "good"] {
        world.set(&bob, world.pusher(key, &json!({}))).await;
    }
    world.gateway.answer(200, json!({ "rejected": ["gone"] }));
    say(&alice, &room, "one").await;
    assert_eq!(world.told().await.len(), 2);
    let pushers = bob.get("/v3/pushers").await.ok();
    let keys: Vec<_> = pushers["pushers"].as_array().expect("a list").iter().collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["pushkey"], "good");
    say(&alice, &room, "two").await;
    assert_eq!(world.told().await.len(), 1);
}

#[tokio::test]
async fn reading_elsewhere_clears_the_badge_without_an_event() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let (room, other) = (room_of(&alice, &[&bob]).await, room_of(&alice, &[&bob]).await);
    world.set(&bob, world.pusher("k", &json!({}))).await;
    say(&alice, &room, "one").await;
    let last = say(&alice, &room, "two").await;
    say(&alice, &other, "three").await;
    let told = world.told().await;
    assert_eq!(told.last().expect("told")["counts"]["unread"], 3);
    read(&bob, &room, &last).await;
    let [told] = &world.told().await[..] else { panic!("one message") };
    assert_eq!(told["counts"]["unread"], 1);
    assert!(told.get("event_id").is_none() && told.get("room_id").is_none());
    assert!(world.told().await.is_empty());
    // Who answers has read.
    say(&bob, &other, "yes").await;
    let [told] = &world.told().await[..] else { panic!("one message") };
    assert_eq!(told["counts"]["unread"], 0);
}

#[tokio::test]
async fn threads_count_and_are_read_on_their_own() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({}))).await;
    let root = say(&alice, &room, "root").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let content = json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": relation });
    let path = format!("/v3/rooms/{room}/send/m.room.message/reply");
    let reply = alice.put(&path, content).await.ok();
    assert_eq!(world.told().await.last().expect("told")["counts"]["unread"], 2);
    let path =
        format!("/v3/rooms/{room}/receipt/m.read/{}", reply["event_id"].as_str().expect("id"));
    bob.post(&path, json!({ "thread_id": root })).await.ok();
    assert_eq!(world.told().await.last().expect("told")["counts"]["unread"], 1);
}

#[tokio::test]
async fn a_gateway_is_told_no_more_than_the_pusher_or_the_operator_wants() {
    let bare = |told: &Value| {
        let mut names: Vec<_> = told.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names
    };
    for (strip, data) in [(false, json!({ "format": "event_id_only" })), (true, json!({}))] {
        let world = World::new(strip).await;
        let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
        let room = room_of(&alice, &[&bob]).await;
        world.set(&bob, world.pusher("k", &data)).await;
        say(&alice, &room, "secret").await;
        let [told] = &world.told().await[..] else { panic!("one notification") };
        assert_eq!(bare(told), ["counts", "devices", "event_id", "prio", "room_id"]);
        assert!(!told.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_client_that_counts_for_itself_is_told_no_count() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    let data = json!({ "org.matrix.msc4076.disable_badge_count": true });
    world.set(&bob, world.pusher("k", &data)).await;
    let event = say(&alice, &room, "one").await;
    let [told] = &world.told().await[..] else { panic!("one notification") };
    assert!(told.get("counts").is_none());
    read(&bob, &room, &event).await;
    assert!(world.told().await.is_empty());
}

#[tokio::test]
async fn a_pusher_that_is_off_hears_nothing_and_makes_up_for_nothing() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    let mut pusher = world.pusher("k", &json!({}));
    world.set(&bob, pusher.clone()).await;
    pusher["org.matrix.msc3881.enabled"] = json!(false);
    let other = world.server.sign_in("bob").await;
    world.set(&other, pusher.clone()).await;
    let shown = bob.get("/v3/pushers").await.ok();
    assert_eq!(shown["pushers"][0]["org.matrix.msc3881.enabled"], false);
    assert_eq!(shown["pushers"][0]["org.matrix.msc3881.device_id"], json!(bob.device));
    say(&alice, &room, "one").await;
    assert!(world.told().await.is_empty());
    pusher["org.matrix.msc3881.enabled"] = json!(true);
    world.set(&other, pusher).await;
    assert!(world.told().await.is_empty());
    say(&alice, &room, "two").await;
    assert_eq!(world.told().await.len(), 1);
}

#[tokio::test]
async fn an_invitation_rings_and_an_encrypted_message_is_urgent() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    world.set(&bob, world.pusher("k", &json!({}))).await;
    world.told().await;
    let room = alice.post("/v3/createRoom", json!({ "invite": [bob.id] })).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    let [told] = &world.told().await[..] else { panic!("one notification") };
    assert_eq!((&told["type"], &told["user_is_target"]), (&json!("m.room.member"), &json!(true)));
    assert_eq!(told["counts"]["unread"], 1);
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    world.told().await;
    let path = format!("/v3/rooms/{room}/send/m.room.encrypted/1");
    alice.put(&path, json!({ "algorithm": "m.megolm.v1.aes-sha2" })).await.ok();
    let [told] = &world.told().await[..] else { panic!("one notification") };
    assert_eq!(told["prio"], "high");
}

#[tokio::test]
async fn who_is_locked_out_is_told_nothing() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({}))).await;
    let user = ruma::UserId::parse(&bob.id).expect("an id");
    world.server.accounts.set_locked(&user, true).await.expect("locked");
    say(&alice, &room, "one").await;
    assert!(world.told().await.is_empty());
    world.server.accounts.set_locked(&user, false).await.expect("unlocked");
    say(&alice, &room, "two").await;
    assert_eq!(world.told().await.len(), 2);
}

#[tokio::test]
async fn leaving_a_room_takes_what_is_unread_there_off_the_badge() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    world.set(&bob, world.pusher("k", &json!({}))).await;
    say(&alice, &room, "one").await;
    assert_eq!(world.told().await.len(), 1);
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    let [told] = &world.told().await[..] else { panic!("one message") };
    assert_eq!(told["counts"]["unread"], 0);
}

#[tokio::test]
async fn only_gateways_that_the_operator_allows_can_be_set() {
    let push = PushSettings {
        allowed_gateways: vec!["push.example.org".to_owned()],
        ..PushSettings::default()
    };
    let server = Server::with_notify(Settings { push, ..Settings::default() }).await;
    let bob = server.user("bob").await;
    let pusher = |host: &str| {
        json!({
            "app_id": "a", "pushkey": "k", "kind": "http", "lang": "en",
            "app_display_name": "a", "device_display_name": "d",
            "data": { "url": format!("https://{host}/_matrix/push/v1/notify") },
        })
    };
    bob.post("/v3/pushers/set", pusher("push.example.org")).await.ok();
    let refused = bob.post("/v3/pushers/set", pusher("evil.example")).await;
    refused.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn notifications_are_listed_newest_first_in_pages() {
    let world = World::new(false).await;
    let (alice, bob) = (world.server.user("alice").await, world.server.user("bob").await);
    let (room, other) = (room_of(&alice, &[&bob]).await, room_of(&alice, &[&bob]).await);
    let mut sent = [
        say(&alice, &room, "first").await,
        say(&alice, &other, "hello bob").await,
        say(&alice, &room, "third").await,
    ];
    say(&bob, &room, "own").await;
    read(&bob, &other, &sent[1]).await;
    world.server.notify.follow().await.expect("follows");
    sent.reverse();
    let ids = |page: &Value| -> Vec<String> {
        let notifications = page["notifications"].as_array().expect("a list").iter();
        let id = |it: &Value| it["event"]["event_id"].as_str().expect("an id").to_owned();
        notifications.map(id).collect()
    };
    let page = bob.get("/v3/notifications?limit=2").await.ok();
    assert_eq!(ids(&page), sent[..2]);
    let (third, second) = (&page["notifications"][0], &page["notifications"][1]);
    assert_eq!((&third["room_id"], &second["room_id"]), (&json!(room), &json!(other)));
    assert_eq!((&third["read"], &second["read"]), (&json!(false), &json!(true)));
    assert_eq!(third["actions"][0], "notify");
    assert!(third["ts"].is_u64());
    let next = page["next_token"].as_str().expect("there is more");
    let page = bob.get(&format!("/v3/notifications?limit=2&from={next}")).await.ok();
    assert_eq!(ids(&page), sent[2..]);
    assert!(page.get("next_token").is_none());
    let highlights = bob.get("/v3/notifications?only=highlight").await.ok();
    assert_eq!(ids(&highlights), sent[1..2]);
    bob.get("/v3/notifications?from=x").await.refused(400, "M_INVALID_PARAM");
    // A rule that says nothing is to be heard of a room.
    let rule = format!("/v3/pushrules/global/override/{room}");
    let condition = json!({ "kind": "event_match", "key": "room_id", "pattern": room });
    bob.put(&rule, json!({ "actions": [], "conditions": [condition] })).await.ok();
    say(&alice, &room, "unheard").await;
    world.server.notify.follow().await.expect("follows");
    let page = bob.get("/v3/notifications").await.ok();
    assert_eq!(ids(&page), sent[1..2], "the rules are asked as they are now");
}
