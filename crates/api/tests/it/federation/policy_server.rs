//! Rooms with a policy server (server-server API, "Policy Servers").

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use blaupause_federation::Settings;
use blaupause_policy::ServerPolicy;
use http::StatusCode;
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    canonical_json::redact,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

use super::{
    network::Network,
    peer::Peer,
    world::{said, try_say},
};
use crate::server::{Answer, Client, Server};

const SIGN: &str = "/_matrix/policy/v1/sign";
const WATCH: &str = "@watch:policy.example";
const BOB: &str = "@bob:b.example";

/// Our server, a server whose people are in our room, and the policy server.
struct Scene {
    a: Server,
    b: Peer,
    policy: Peer,
    /// What the policy server signs with.
    key: Arc<Ed25519KeyPair>,
    room: String,
    /// Whether it signs.
    is_kind: Arc<AtomicBool>,
}

impl Scene {
    async fn new() -> Self {
        let network = Network::new();
        let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
        let a = network.server_with("a.example", settings).await;
        let (b, policy) = (Peer::new(&network, "b.example"), Peer::new(&network, "policy.example"));
        let der = Ed25519KeyPair::generate();
        let key = Ed25519KeyPair::from_der(&der, "policy_server".to_owned()).expect("a key");
        let room = {
            let alice = a.user("alice").await;
            let how = json!({ "preset": "public_chat", "room_version": "11" });
            let made = alice.post("/v3/createRoom", how).await.ok();
            made["room_id"].as_str().expect("an id").to_owned()
        };
        b.joins(&a, &room, BOB).await;
        policy.joins(&a, &room, WATCH).await;
        let is_kind = Arc::new(AtomicBool::new(true));
        let scene = Self { a, b, policy, key: Arc::new(key), room, is_kind };
        let (key, is_kind) = (Arc::clone(&scene.key), Arc::clone(&scene.is_kind));
        scene.policy.plays(SIGN, move |asked| {
            if is_kind.load(Ordering::SeqCst) {
                return (StatusCode::OK, signature(&asked.body, &key).to_string().into_bytes());
            }
            let no = json!({ "errcode": "M_FORBIDDEN", "error": "this smells of spam" });
            (StatusCode::BAD_REQUEST, no.to_string().into_bytes())
        });
        scene.name_policy_server().await.ok();
        scene
    }

    async fn name_policy_server(&self) -> Answer {
        let key = Base64::<Standard, _>::new(self.key.public_key().to_vec()).encode();
        let content = json!({ "via": "policy.example", "public_keys": { "ed25519": key } });
        self.set_policy(content).await
    }

    async fn set_policy(&self, content: Value) -> Answer {
        let path = format!("/v3/rooms/{}/state/m.room.policy", self.room);
        self.alice().await.put(&path, content).await
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

    /// An event as it is told to other servers.
    async fn told(&self, id: &str) -> Value {
        let path = format!("/v1/event/{id}");
        self.b.gets(&self.a, &path).await.ok()["pdus"][0].clone()
    }

    fn refuse(&self) {
        self.is_kind.store(false, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.policy.asked(SIGN).len()
    }
}

/// What a policy server answers to an event.
fn signature(event: &Value, key: &Ed25519KeyPair) -> Value {
    let event: CanonicalJsonObject = serde_json::from_value(event.clone()).expect("canonical");
    let rules = RoomVersionId::V11.rules().expect("known");
    let mut event = redact(event, &rules.redaction, None).expect("an event");
    event.remove("signatures");
    sign_json("policy.example", key, &mut event).expect("it can be signed");
    serde_json::to_value(event.remove("signatures")).expect("JSON")
}

fn is_signed(event: &Value) -> bool {
    event["signatures"]["policy.example"]["ed25519:policy_server"].is_string()
}

#[tokio::test]
async fn what_our_people_say_is_signed_by_the_policy_server_first() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    assert_eq!(scene.asked(), 0, "nobody is asked about the event that names the policy server");
    let sent = scene.say(&alice, "one").await.ok();
    let event = scene.told(sent["event_id"].as_str().expect("an id")).await;
    assert!(is_signed(&event), "{event}");
    assert!(event["signatures"]["a.example"].is_object(), "ours stays");
    let asked = scene.policy.asked(SIGN);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body["content"]["body"], "one", "it sees the event as it will be");
    // State, members and redactions like anything else.
    let room = &scene.room;
    let topic = json!({ "topic": "t" });
    let topic = alice.put(&format!("/v3/rooms/{room}/state/m.room.topic"), topic).await.ok();
    let path = format!("/v3/rooms/{room}/redact/{}/r1", sent["event_id"].as_str().expect("an id"));
    let redaction = alice.put(&path, json!({})).await.ok();
    for event in [topic, redaction] {
        let event = scene.told(event["event_id"].as_str().expect("an id")).await;
        assert!(is_signed(&event), "{event}");
    }
    assert_eq!(scene.said(&alice).await, Vec::<String>::new());
    assert_eq!(scene.asked(), 3);
    let carol = scene.a.user("carol").await;
    carol.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    assert_eq!(scene.asked(), 4);
}

#[tokio::test]
async fn what_the_policy_server_refuses_is_not_said_and_its_words_are_passed_on() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    scene.refuse();
    let refused = scene.say(&alice, "buy now").await;
    refused.refused(400, "M_FORBIDDEN");
    assert_eq!(refused.body["error"], "this smells of spam");
    let path = format!("/v3/rooms/{}/state/m.room.topic", scene.room);
    alice.put(&path, json!({ "topic": "buy" })).await.refused(400, "M_FORBIDDEN");
    let target = scene.b.says(&scene.a, &scene.room, BOB, "x").await;
    let path = format!("/v3/rooms/{}/redact/{target}/1", scene.room);
    assert_eq!(alice.put(&path, json!({})).await.status.as_u16() / 100, 4);
    assert_eq!(scene.said(&alice).await, Vec::<String>::new());
    // The moderators get rid of it whatever it thinks of that.
    scene.set_policy(json!({})).await.ok();
    scene.say(&alice, "free").await.ok();
    assert_eq!(scene.said(&alice).await, ["free"]);
}

#[tokio::test]
async fn a_policy_server_cannot_sign_our_people_out() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    for (status, code) in [(401, "M_UNKNOWN_TOKEN"), (403, "M_USER_DEACTIVATED"), (500, "")] {
        scene.policy.plays(SIGN, move |_| {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, json!({ "errcode": code, "error": "x" }).to_string().into_bytes())
        });
        scene.say(&alice, "one").await.refused(400, "M_FORBIDDEN");
    }
    assert!(alice.works().await);
}

#[tokio::test]
async fn bad_answers_of_a_policy_server_are_no_signatures() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    let long = "A".repeat(60_000);
    let other = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "policy_server".to_owned());
    let other = other.expect("a key");
    scene.policy.plays(SIGN, move |asked| {
        (StatusCode::OK, signature(&asked.body, &other).to_string().into_bytes())
    });
    scene.say(&alice, "another key").await.refused(400, "M_FORBIDDEN");
    for body in [
        json!({}),
        json!([]),
        json!({ "policy.example": {} }),
        json!({ "policy.example": { "ed25519:policy_server": "AAAA" } }),
        json!({ "policy.example": { "ed25519:policy_server": long } }),
        json!({ "policy.example": { "ed25519:policy_server": 5 } }),
        json!({ "a.example": { "ed25519:policy_server": "AAAA" } }),
    ] {
        scene.policy.answers(SIGN, body.clone());
        let answer = scene.say(&alice, "one").await;
        assert!(matches!(answer.status.as_u16(), 400 | 502), "{body}: {}", answer.body);
    }
    scene.policy.plays(SIGN, |_| (StatusCode::OK, b"<html>".to_vec()));
    assert_eq!(scene.say(&alice, "one").await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(scene.said(&alice).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_room_has_a_policy_server_only_if_somebody_of_it_is_joined() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    scene.refuse();
    for content in [
        json!({ "via": "nobody.example", "public_keys": { "ed25519": "AAAA" } }),
        json!({ "via": "policy.example" }),
        json!({ "via": "policy.example", "public_keys": {} }),
    ] {
        scene.set_policy(content.clone()).await.ok();
        scene.say(&alice, &format!("{}", content.to_string().len())).await.ok();
    }
    scene.name_policy_server().await.ok();
    scene.say(&alice, "refused").await.refused(400, "M_FORBIDDEN");
    // It goes: it may refuse to be the policy server.
    let mut leave = scene.policy.draft(&scene.a, &scene.room, WATCH, "m.room.member").await;
    leave["state_key"] = json!(WATCH);
    leave["content"] = json!({ "membership": "leave" });
    scene.is_kind.store(true, Ordering::SeqCst);
    scene.policy.brings(&scene.a, &scene.room, &leave).await;
    scene.refuse();
    scene.say(&alice, "free").await.ok();
}

#[tokio::test]
async fn an_event_of_others_without_a_signature_is_asked_about() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    let event = scene.b.says(&scene.a, &scene.room, BOB, "one").await;
    assert_eq!(scene.asked(), 1);
    assert!(is_signed(&scene.told(&event).await), "the signature is kept and passed on");
    scene.refuse();
    scene.b.says(&scene.a, &scene.room, BOB, "spam").await;
    assert_eq!(scene.asked(), 2);
    assert_eq!(scene.said(&alice).await, ["one"], "soft-failed: stored, not shown");
    // Nor do our events follow it.
    scene.is_kind.store(true, Ordering::SeqCst);
    let sent = scene.say(&alice, "two").await.ok();
    let told = scene.told(sent["event_id"].as_str().expect("an id")).await;
    assert_eq!(told["prev_events"], json!([event]));
    assert_eq!(scene.said(&alice).await, ["one", "two"]);
}

#[tokio::test]
async fn an_event_of_others_with_its_signature_is_not_asked_about() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    scene.refuse();
    let mut event = scene.b.draft(&scene.a, &scene.room, BOB, "m.room.message").await;
    event["content"] = json!({ "body": "signed" });
    let (_, mut event) = scene.b.signs(&event, &RoomVersionId::V11);
    let good = signature(&event, &scene.key)["policy.example"].clone();
    event["signatures"]["policy.example"] = good.clone();
    scene.b.sends(&scene.a, vec![event], Vec::new()).await.ok();
    assert_eq!(scene.said(&alice).await, ["signed"]);
    assert_eq!(scene.asked(), 0);
    // Somebody else's signature is none.
    let mut event = scene.b.draft(&scene.a, &scene.room, BOB, "m.room.message").await;
    event["content"] = json!({ "body": "borrowed" });
    let (_, mut event) = scene.b.signs(&event, &RoomVersionId::V11);
    event["signatures"]["policy.example"] = good;
    scene.b.sends(&scene.a, vec![event], Vec::new()).await.ok();
    assert_eq!(scene.said(&alice).await, ["signed"]);
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn a_policy_server_that_is_away_recommends_nothing_and_holds_nobody_up() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    scene.policy.network.disconnect(&scene.policy.name);
    let away = scene.say(&alice, "one").await;
    assert_eq!((away.status.as_u16(), away.code()), (502, "M_UNKNOWN"));
    scene.b.says(&scene.a, &scene.room, BOB, "two").await;
    assert_eq!(scene.said(&alice).await, Vec::<String>::new());
    scene.set_policy(json!({})).await.ok();
    scene.say(&alice, "three").await.ok();
    assert_eq!(scene.said(&alice).await, ["three"]);
}

#[tokio::test]
async fn many_who_speak_at_once_are_all_heard_once() {
    let scene = Scene::new().await;
    let alice = scene.alice().await;
    let texts: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
    let says = texts.iter().map(|text| scene.say(&alice, text));
    for answer in futures_util::future::join_all(says).await {
        answer.ok();
    }
    // The same transactions once more say nothing new, the same words do.
    scene.say(&alice, "n3").await.ok();
    let path = format!("/v3/rooms/{}/send/m.room.message/again", scene.room);
    alice.put(&path, json!({ "msgtype": "m.text", "body": "n3" })).await.ok();
    let mut said = scene.said(&alice).await;
    assert_eq!(said.pop().as_deref(), Some("n3"));
    said.sort();
    let mut expected = texts.clone();
    expected.sort();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn this_server_is_no_policy_server() {
    let scene = Scene::new().await;
    let event = scene.b.draft(&scene.a, &scene.room, BOB, "m.room.message").await;
    let answer = scene.b.asks(&scene.a, http::Method::POST, SIGN, Some(event)).await;
    answer.refused(404, "M_UNRECOGNIZED");
}
