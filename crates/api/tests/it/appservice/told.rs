//! What a service is told.

use std::time::Duration;

use http::Method;
use ruma::serde::Base64;
use serde_json::{Value, json};

use super::{Fake, get, messages_in, open_room, say};
use blaupause_accounts::{Encryption, Ephemeral, Namespace, ServiceRegistration};

#[tokio::test]
async fn events_come_once_and_in_order_even_if_the_service_fails_at_first() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    say(&alice, &room, "before").await;
    fake.next_transactions(&[500, 503, 429]);
    running.ghost_in("_b_x", &room).await;
    for n in 0..250 {
        say(&alice, &room, &format!("m{n}")).await;
    }
    let (first, body) = fake.transaction().await;
    for _ in 0..3 {
        let again = fake.transaction().await;
        assert_eq!((&again.0, &again.1), (&first, &body), "a transaction never changes");
    }
    let join = &body["events"][0];
    assert_eq!(
        (&join["type"], &join["state_key"]),
        (&json!("m.room.member"), &json!("@_b_x:example.org"))
    );
    assert_eq!(join["room_id"], room.as_str());
    assert!(join["unsigned"]["age"].is_u64());
    let mut messages = messages_in(&body);
    if !messages.contains(&"m249".to_owned()) {
        messages.extend(fake.messages_until("m249").await);
    }
    let expected: Vec<_> = (0..250).map(|n| format!("m{n}")).collect();
    assert_eq!(messages, expected);
    assert_eq!(fake.strangers(), 0);
}

#[tokio::test]
async fn a_server_that_is_killed_goes_on_with_the_same_transaction() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    say(&alice, &room, "first").await;
    assert_eq!(fake.messages_until("first").await, ["first"]);
    fake.next_transactions(&[503; 1_000]);
    say(&alice, &room, "second").await;
    let (id, body) = fake.transaction().await;
    assert_eq!(messages_in(&body), ["second"]);
    running.server.data.env().advance(Duration::from_secs(5));
    let waiting = running.server.services.waiting();
    assert_eq!(waiting, [("bridge".to_owned(), Duration::from_secs(5))], "operators see it");
    // While the service is away, its user leaves, and more is said.
    say(&alice, &room, "third").await;
    running.ask(Method::POST, &format!("/v3/rooms/{room}/leave"), "_b_x", json!({})).await.ok();
    say(&alice, &room, "not theirs").await;
    drop(alice);
    let running = running.killed().await;
    let alice = running.server.sign_in("alice").await;
    loop {
        let (again, same) = fake.transaction().await;
        assert_eq!((&again, &same), (&id, &body), "until it is taken, it comes again");
        if fake.is_willing() {
            break;
        }
        fake.be_willing();
    }
    running.ask(Method::POST, &format!("/v3/join/{room}"), "_b_x", json!({})).await.ok();
    say(&alice, &room, "last").await;
    // What was said while it was in the room, at the time.
    let rest = fake.messages_until("last").await;
    let rest: Vec<_> = rest.into_iter().filter(|message| message != "second").collect();
    assert_eq!(rest, ["third", "last"]);
}

#[tokio::test]
async fn a_service_that_comes_back_and_pings_is_told_at_once() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    fake.answers(Method::POST, "/_matrix/app/v1/ping", 200, json!({}));
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    fake.next_transactions(&[500]);
    running.ghost_in("_b_x", &room).await;
    running.ask(Method::POST, "/v1/appservice/bridge/ping", "", json!({})).await.ok();
    say(&alice, &room, "hello").await;
    assert_eq!(fake.messages_until("hello").await, ["hello"]);
}

#[tokio::test]
async fn a_service_hears_of_its_users_rooms_and_of_nothing_else() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let (theirs, other) = (open_room(&alice).await, open_room(&alice).await);
    running.ghost_in("_b_x", &theirs).await;
    say(&alice, &other, "secret").await;
    // An invitation concerns the service; what else happens in the room does not, yet.
    running.ghost("_b_y").await;
    let invite = json!({ "user_id": "@_b_y:example.org" });
    alice.post(&format!("/v3/rooms/{other}/invite"), invite).await.ok();
    say(&alice, &other, "still secret").await;
    say(&alice, &theirs, "open").await;
    let leave = format!("/v3/rooms/{theirs}/leave");
    running.ask(Method::POST, &leave, "_b_x", json!({})).await.ok();
    say(&alice, &theirs, "gone").await;
    running.ghost_in("_b_z", &theirs).await;
    say(&alice, &theirs, "last").await;
    let mut seen = Vec::new();
    let mut kinds = Vec::new();
    while !seen.contains(&"last".to_owned()) {
        let (_, body) = fake.transaction().await;
        seen.extend(messages_in(&body));
        for event in body["events"].as_array().expect("a list") {
            if event["type"] == "m.room.member" {
                let key = event["state_key"].as_str().unwrap_or_default().to_owned();
                kinds.push((
                    key,
                    event["content"]["membership"].as_str().unwrap_or_default().to_owned(),
                ));
            }
        }
    }
    assert_eq!(seen, ["open", "last"]);
    let member = |user: &str, is: &str| (format!("@{user}:example.org"), is.to_owned());
    let expected = [
        member("_b_x", "join"),
        member("_b_y", "invite"),
        member("_b_x", "leave"),
        member("_b_z", "join"),
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn rooms_and_aliases_of_a_namespace_are_told_whoever_is_in_them() {
    let mut fake = Fake::start().await;
    let mut registration = fake.registration();
    registration.namespaces.rooms = vec![Namespace::new("!", false).expect("an expression")];
    let running = fake.server_with(registration).await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    say(&alice, &room, "all").await;
    assert_eq!(fake.messages_until("all").await, ["all"]);

    let mut fake = Fake::start().await;
    let mut registration = fake.registration();
    registration.namespaces.aliases =
        vec![Namespace::new("#watched", false).expect("an expression")];
    let running = fake.server_with(registration).await;
    let alice = running.server.user("alice").await;
    let (room, other) = (open_room(&alice).await, open_room(&alice).await);
    let body = json!({ "room_id": room });
    alice.put("/v3/directory/room/%23watched:example.org", body).await.ok();
    say(&alice, &other, "other").await;
    say(&alice, &room, "named").await;
    assert_eq!(fake.messages_until("named").await, ["named"]);
}

#[tokio::test]
async fn state_events_come_with_what_they_replaced() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    let topic = format!("/v3/rooms/{room}/state/m.room.topic/");
    alice.put(&topic, json!({ "topic": "old" })).await.ok();
    alice.put(&topic, json!({ "topic": "new" })).await.ok();
    let find = |body: &Value| {
        let mut events = body["events"].as_array().expect("a list").iter();
        events.find(|event| event["content"]["topic"] == "new").cloned()
    };
    let event = fake.until(find).await;
    assert_eq!(event["unsigned"]["prev_content"]["topic"], "old");
    assert!(event["unsigned"]["replaces_state"].is_string());
}

#[tokio::test]
async fn typing_receipts_and_presence_are_told_to_a_service_that_wants_them() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    let event = say(&alice, &room, "hello").await;
    let find = |kind: &'static str| {
        move |body: &Value| {
            let mut events = body["ephemeral"].as_array()?.iter();
            events.find(|event| event["type"] == kind).cloned()
        }
    };
    let typing = format!("/v3/rooms/{room}/typing/{}", alice.id);
    alice.put(&typing, json!({ "typing": true, "timeout": 30_000 })).await.ok();
    let told = fake.until(find("m.typing")).await;
    assert_eq!(told["room_id"], room.as_str());
    assert_eq!(told["content"]["user_ids"], json!([alice.id]));

    let receipt = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    alice.post(&receipt, json!({})).await.ok();
    let told = fake.until(find("m.receipt")).await;
    assert_eq!(told["room_id"], room.as_str());
    assert!(told["content"][&event]["m.read"][&alice.id]["ts"].is_u64(), "{told}");

    let presence = format!("/v3/presence/{}/status", alice.id);
    alice.put(&presence, json!({ "presence": "online", "status_msg": "here" })).await.ok();
    let here = |body: &Value| {
        let mut events = body["ephemeral"].as_array()?.iter();
        events.find(|event| event["content"]["status_msg"] == "here").cloned()
    };
    let told = fake.until(here).await;
    assert_eq!((&told["type"], &told["sender"]), (&json!("m.presence"), &json!(alice.id)));
}

#[tokio::test]
async fn private_receipts_and_other_rooms_are_nobodys_business() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let (room, other) = (open_room(&alice).await, open_room(&alice).await);
    running.ghost_in("_b_x", &room).await;
    let event = say(&alice, &room, "hello").await;
    let elsewhere = say(&alice, &other, "elsewhere").await;
    let private = format!("/v3/rooms/{room}/receipt/m.read.private/{event}");
    alice.post(&private, json!({})).await.ok();
    alice.post(&format!("/v3/rooms/{other}/receipt/m.read/{elsewhere}"), json!({})).await.ok();
    running.ask(Method::POST, &private, "_b_x", json!({})).await.ok();
    let find = |body: &Value| {
        let mut events = body["ephemeral"].as_array()?.iter();
        events.find(|event| event["type"] == "m.receipt").cloned()
    };
    let told = fake.until(find).await;
    let readers = &told["content"][&event]["m.read.private"];
    assert!(readers.get("@_b_x:example.org").is_some(), "{told}");
    assert!(readers.get(&alice.id).is_none(), "{told}");
}

#[tokio::test]
async fn a_service_that_wants_no_ephemeral_data_gets_none() {
    let mut fake = Fake::start().await;
    let plain = ServiceRegistration {
        ephemeral: Ephemeral::No,
        encryption: Encryption::default(),
        ..fake.registration()
    };
    let running = fake.server_with(plain).await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    let event = say(&alice, &room, "hello").await;
    alice.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let typing = format!("/v3/rooms/{room}/typing/{}", alice.id);
    alice.put(&typing, json!({ "typing": true, "timeout": 30_000 })).await.ok();
    say(&alice, &room, "last").await;
    let mut fields = Vec::new();
    let mut messages = Vec::new();
    while !messages.contains(&"last".to_owned()) {
        let (_, body) = fake.transaction().await;
        messages.extend(messages_in(&body));
        fields.extend(body.as_object().expect("an object").keys().cloned());
    }
    fields.sort();
    fields.dedup();
    assert_eq!(fields, ["events"]);
}

#[tokio::test]
async fn to_device_messages_and_key_counts_reach_the_service_once() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    running.ask(Method::PUT, "/v3/devices/DEV", "_b_x", json!({})).await;
    let key = Base64::<ruma::serde::base64::Standard>::new([7; 32].to_vec()).encode();
    let key = key.trim_end_matches('=');
    let keys = json!({ "one_time_keys": { "curve25519:AAAA": key } });
    running.ask(Method::POST, "/v3/keys/upload?device_id=DEV", "_b_x", keys).await.ok();
    let count = |body: &Value| {
        let counts = &body["org.matrix.msc3202.device_one_time_keys_count"];
        counts["@_b_x:example.org"]["DEV"]["curve25519"].as_u64()
    };
    assert_eq!(fake.until(count).await, 1);
    let content = json!({ "@_b_x:example.org": { "DEV": { "hello": "bridge" } } });
    let send = "/v3/sendToDevice/org.example.test/1";
    alice.put(send, json!({ "messages": content })).await.ok();
    let find = |body: &Value| {
        let messages = body["de.sorunome.msc2409.to_device"].as_array()?;
        assert_eq!(messages.len(), 1);
        Some(messages[0].clone())
    };
    let told = fake.until(find).await;
    assert_eq!(
        told,
        json!({
            "to_user_id": "@_b_x:example.org",
            "to_device_id": "DEV",
            "sender": alice.id,
            "type": "org.example.test",
            "content": { "hello": "bridge" },
        })
    );
    // The name is the service's alone: the message has gone to it, and waits for no sync.
    let sync = "/v3/sync?timeout=0&device_id=DEV";
    let synced = running.ask(Method::GET, sync, "_b_x", json!({})).await.ok();
    assert!(synced["to_device"]["events"].as_array().is_none_or(Vec::is_empty), "{synced}");
}

#[tokio::test]
async fn device_lists_of_those_who_share_rooms_are_told() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let bob = running.server.user("bob").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    let lists = "org.matrix.msc3202.device_lists";
    let has = |list: &'static str, user: String| {
        move |body: &Value| {
            let users = body[lists][list].as_array()?;
            users.iter().any(|it| *it == user.as_str()).then_some(())
        }
    };
    // When its first user comes, the service hears of all who are there.
    fake.until(has("changed", alice.id.clone())).await;
    bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    fake.until(has("changed", bob.id.clone())).await;
    running.server.sign_in("bob").await;
    fake.until(has("changed", bob.id.clone())).await;
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    fake.until(has("left", bob.id.clone())).await;
}

#[tokio::test]
async fn keys_that_a_service_keeps_are_asked_of_it() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    running.ghost("_b_x").await;
    let text = Base64::<ruma::serde::base64::Standard>::new([7; 32].to_vec()).encode();
    let text = text.trim_end_matches('=');
    let user = "@_b_x:example.org";
    let said = json!({
        user: { "DEV": { "curve25519:AAAA": text, "curve25519:BBBB": text, "x:CCCC": text } },
        "@alice:example.org": { "DEV": { "curve25519:AAAA": text } },
    });
    let path = "/_matrix/app/unstable/org.matrix.msc3983/keys/claim";
    fake.answers(Method::POST, path, 200, said);
    let wanted = json!({ "one_time_keys": { user: { "DEV": "curve25519" } } });
    let claimed = alice.post("/v3/keys/claim", wanted).await.ok();
    let expected = json!({ user: { "DEV": { "curve25519:AAAA": text } } });
    assert_eq!(claimed["one_time_keys"], expected, "as many as were wanted, of whom was asked");
    let several = "/unstable/org.matrix.msc3983/keys/claim";
    let wanted = json!({ "one_time_keys": { user: { "DEV": ["curve25519", "curve25519"] } } });
    let claimed = alice.post(several, wanted).await.ok();
    let keys = claimed["one_time_keys"][user]["DEV"].as_object().expect("keys");
    assert_eq!(keys.len(), 2, "{claimed}");

    let device = json!({
        "algorithms": [], "device_id": "DEV", "user_id": user, "keys": {}, "signatures": {},
    });
    let wrong = json!({
        "algorithms": [], "device_id": "DEV", "user_id": alice.id, "keys": {}, "signatures": {},
    });
    let said = json!({
        "device_keys": {
            user: { "DEV": device, "OTHER": device },
            "@alice:example.org": { "EVIL": wrong },
        },
    });
    let path = "/_matrix/app/unstable/org.matrix.msc3984/keys/query";
    fake.answers(Method::POST, path, 200, said);
    let wanted = json!({ "device_keys": { user: [], "@alice:example.org": [] } });
    let found = alice.post("/v3/keys/query", wanted).await.ok();
    assert_eq!(found["device_keys"][user], json!({ "DEV": device }));
    assert!(found["device_keys"]["@alice:example.org"].get("EVIL").is_none(), "{found}");
}

#[tokio::test]
async fn odd_requests_for_several_keys_are_refused() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let several = "/unstable/org.matrix.msc3983/keys/claim";
    get(&alice, several).await.refused(405, "M_UNRECOGNIZED");
    let wrong = json!({ "one_time_keys": { "nobody": {} } });
    alice.post(several, wrong).await.refused(400, "M_BAD_JSON");
    alice.post(several, json!({})).await.refused(400, "M_MISSING_PARAM");
    let many = vec!["curve25519"; 51];
    let many = json!({ "one_time_keys": { "@alice:example.org": { "DEV": many } } });
    alice.post(several, many).await.refused(413, "M_TOO_LARGE");
}
