//! What a server may not read.

use serde_json::{Value, json};

use super::scene::Scene;
use crate::federation::{
    peer::Peer,
    world::{encoded, say},
};

#[tokio::test]
async fn events_of_another_room_are_not_told_by_way_of_this_one() {
    let scene = Scene::new("11").await;
    let alice = scene.alice();
    let private = alice.post("/v3/createRoom", json!({ "room_version": "11" })).await.ok();
    let private = private["room_id"].as_str().expect("an id").to_owned();
    let secret = say(&alice, &private, "secret").await;
    let (room, id) = (encoded(&scene.room), encoded(&secret));
    for path in [
        format!("event/{id}"),
        format!("event_auth/{room}/{id}"),
        format!("state/{room}?event_id={id}"),
        format!("state_ids/{room}?event_id={id}"),
        format!("backfill/{room}?v={id}&limit=100"),
    ] {
        let answer = scene.reads(&format!("/v1/{path}")).await;
        let nothing = answer.body["pdus"].as_array().is_some_and(Vec::is_empty);
        let refused = matches!(answer.status.as_u16(), 403 | 404);
        assert!(refused || nothing, "{path}: {}", answer.body);
    }
    let gap = json!({ "earliest_events": [], "latest_events": [secret], "limit": 100 });
    let path = format!("/v1/get_missing_events/{room}");
    let answer = scene.peer.asks(&scene.a, http::Method::POST, &path, Some(gap)).await.ok();
    assert_eq!(answer["events"], json!([]));
}

#[tokio::test]
async fn ten_thousand_starts_are_not_ten_thousand_steps() {
    let scene = Scene::new("11").await;
    let last = say(&scene.alice(), &scene.room, "last").await;
    let mut latest: Vec<String> = (0..10_000).map(|n| format!("${n:043}")).collect();
    latest.push(last);
    let room = encoded(&scene.room);
    let start = tokio::time::Instant::now();
    let gap = json!({ "earliest_events": latest, "latest_events": latest,
        "limit": u32::MAX, "min_depth": 0 });
    let path = format!("/v1/get_missing_events/{room}");
    let answer = scene.peer.asks(&scene.a, http::Method::POST, &path, Some(gap)).await;
    assert!(answer.status.as_u16() < 500, "{}", answer.body);
    assert!(answer.body["events"].as_array().is_none_or(|events| events.len() <= 100));
    let starts: String = latest.iter().take(300).map(|id| format!("v={id}&")).collect();
    let path = format!("/v1/backfill/{room}?{starts}limit=4294967295");
    let answer = scene.reads(&path).await;
    assert!(answer.status.as_u16() < 500, "{}", answer.body);
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
}

/// Everything that the peer can read of an event and around it.
async fn told(scene: &Scene, id: &str) -> String {
    let (room, id) = (encoded(&scene.room), encoded(id));
    let mut all = String::new();
    for path in [
        format!("event/{id}"),
        format!("event_auth/{room}/{id}"),
        format!("state/{room}?event_id={id}"),
        format!("backfill/{room}?v={id}&limit=100"),
        format!("timestamp_to_event/{room}?ts=0&dir=f"),
    ] {
        all.push_str(&scene.reads(&format!("/v1/{path}")).await.body.to_string());
    }
    let last = say(&scene.alice(), &scene.room, &format!("after-{}", all.len())).await;
    let gap = json!({ "earliest_events": [], "latest_events": [last], "limit": 100 });
    let path = format!("/v1/get_missing_events/{room}");
    let gap = scene.peer.asks(&scene.a, http::Method::POST, &path, Some(gap)).await.ok();
    all + &gap.to_string()
}

#[tokio::test]
async fn what_was_redacted_is_told_to_nobody() {
    let scene = Scene::new("11").await;
    let alice = scene.alice();
    let secret = say(&alice, &scene.room, "geheim").await;
    assert!(told(&scene, &secret).await.contains("geheim"), "they may read it");
    let path = format!("/v3/rooms/{}/redact/{secret}/r", scene.room);
    alice.put(&path, json!({})).await.ok();
    let told = told(&scene, &secret).await;
    assert!(!told.contains("geheim"), "{told}");
}

#[tokio::test]
async fn what_was_said_before_a_server_came_is_not_told_where_history_is_closed() {
    for visibility in ["joined", "invited"] {
        let rule = json!({ "type": "m.room.history_visibility",
            "content": { "history_visibility": visibility } });
        let how = json!({ "preset": "public_chat", "room_version": "11", "initial_state": [rule] });
        // "first" is said before X comes.
        let scene = Scene::of(how).await;
        let mine = say(&scene.alice(), &scene.room, "welcome").await;
        let told = told(&scene, &mine).await;
        assert!(told.contains("welcome"), "{visibility}: {told}");
        assert!(!told.contains("\"first\""), "{visibility}: {told}");
    }
}

#[tokio::test]
async fn a_server_that_has_left_reads_nothing_more() {
    let scene = Scene::new("11").await;
    let leave = scene.state("m.room.member", super::scene::X, json!({ "membership": "leave" }));
    scene.brings(&leave.await).await;
    let later = say(&scene.alice(), &scene.room, "among-us").await;
    let told = {
        let (room, id) = (encoded(&scene.room), encoded(&later));
        let mut all = Vec::new();
        for path in [
            format!("event/{id}"),
            format!("event_auth/{room}/{id}"),
            format!("state/{room}?event_id={id}"),
            format!("state_ids/{room}?event_id={id}"),
            format!("backfill/{room}?v={id}&limit=10"),
            format!("timestamp_to_event/{room}?ts=0&dir=f"),
        ] {
            all.push(scene.reads(&format!("/v1/{path}")).await);
        }
        all
    };
    for answer in told {
        assert!(matches!(answer.status.as_u16(), 403 | 404), "{}", answer.body);
    }
}

#[tokio::test]
async fn only_the_own_people_are_told_of() {
    let scene = Scene::new("11").await;
    let other = Peer::new(&scene.network, "third.example");
    other.joins(&scene.a, &scene.room, "@z:third.example").await;
    let document = json!({ "user_id": "@z:third.example", "stream_id": 1, "devices": [{
        "device_id": "D", "keys": { "user_id": "@z:third.example", "device_id": "D",
            "algorithms": [], "keys": {}, "signatures": {} } }] });
    other.answers("user/devices", document);
    other.answers("user/keys/query", json!({ "device_keys": { "@z:third.example": {} } }));
    // Alice's server knows of them.
    let wanted = json!({ "device_keys": { "@z:third.example": [] } });
    scene.alice().post("/v3/keys/query", wanted).await.ok();
    let path = format!("/v1/user/devices/{}", encoded("@z:third.example"));
    scene.reads(&path).await.refused(404, "M_NOT_FOUND");
    let body = json!({ "device_keys": { "@z:third.example": [], super::scene::X: [] } });
    let answer = scene.peer.asks(&scene.a, http::Method::POST, "/v1/user/keys/query", Some(body));
    let answer = answer.await;
    let none = answer.body["device_keys"].as_object().is_none_or(serde_json::Map::is_empty);
    assert!(none, "{}", answer.body);
    let body = json!({ "one_time_keys": { "@z:third.example": { "D": "signed_curve25519" } } });
    let answer = scene.peer.asks(&scene.a, http::Method::POST, "/v1/user/keys/claim", Some(body));
    assert_eq!(answer.await.ok()["one_time_keys"], json!({}));
    let path = format!("/v1/query/profile?user_id={}", encoded("@z:third.example"));
    scene.reads(&path).await.refused(404, "M_NOT_FOUND");
    for field in ["password", "email", "is_admin", "", "..%2F"] {
        let path = format!("/v1/query/profile?user_id=@alice:a.example&field={field}");
        let answer = scene.reads(&path).await;
        let fields = answer.body.as_object().cloned().unwrap_or_default();
        let told = fields.keys().any(|key| !["errcode", "error"].contains(&&**key));
        assert!(!told || answer.body[field] == Value::Null, "{field}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_server_that_the_room_keeps_out_is_kept_out_everywhere() {
    for (peer, pattern) in [
        ("peer.example", "peer.example"),
        ("peer.example", "PEER.*"),
        ("peer.example:8449", "peer.example"),
    ] {
        let scene = Scene::new("11").await;
        let other = Peer::new(&scene.network, peer);
        let user = format!("@w:{peer}");
        let other = if peer == "peer.example" { scene.peer.clone() } else { other };
        other.joins(&scene.a, &scene.room, &user).await;
        let template = other.template(&scene.a, "join", &scene.room, "@y:peer.example").await.body;
        let leave = other.template(&scene.a, "leave", &scene.room, &user).await.ok();
        let event = say(&scene.alice(), &scene.room, "before").await;
        let mut message = other.draft(&scene.a, &scene.room, &user, "m.room.message").await;
        message["content"] = json!({ "body": "let me in", "msgtype": "m.text" });
        let acl = format!("/v3/rooms/{}/state/m.room.server_acl", scene.room);
        let list = json!({ "allow": ["*"], "deny": [pattern] });
        scene.alice().put(&acl, list).await.ok();
        let (room, id) = (encoded(&scene.room), encoded(&event));
        for path in [
            format!("make_join/{room}/{}?ver=11", encoded(&format!("@y:{peer}"))),
            format!("make_leave/{room}/{}", encoded(&user)),
            format!("make_knock/{room}/{}?ver=11", encoded(&format!("@y:{peer}"))),
            format!("event_auth/{room}/{id}"),
            format!("state/{room}?event_id={id}"),
            format!("state_ids/{room}?event_id={id}"),
            format!("backfill/{room}?v={id}&limit=10"),
            format!("timestamp_to_event/{room}?ts=0&dir=f"),
            format!("event/{id}"),
        ] {
            let answer = other.gets(&scene.a, &format!("/v1/{path}")).await;
            assert_eq!(answer.status.as_u16(), 403, "{peer} {path}: {}", answer.body);
        }
        let gap = json!({ "earliest_events": [], "latest_events": [event], "limit": 10 });
        let path = format!("/v1/get_missing_events/{room}");
        let answer = other.asks(&scene.a, http::Method::POST, &path, Some(gap)).await;
        answer.refused(403, "M_FORBIDDEN");
        if peer == "peer.example" {
            let joined = other.hands_over(&scene.a, "join", &scene.room, &template["event"]).await;
            joined.refused(403, "M_FORBIDDEN");
        }
        let left = other.hands_over(&scene.a, "leave", &scene.room, &leave["event"]).await;
        left.refused(403, "M_FORBIDDEN");
        let (said, pdu) = other.signs(&message, &scene.version().await);
        let typing = json!({ "edu_type": "m.typing", "content": { "room_id": scene.room,
            "user_id": user, "typing": true } });
        let answer = other.sends(&scene.a, vec![pdu], vec![typing]).await.ok();
        assert!(answer["pdus"][&said]["error"].is_string(), "{answer}");
        assert_eq!(scene.seen(&said).await, None);
        let news = scene.alice().get("/v3/sync?timeout=0").await.ok();
        let ephemeral = news["rooms"]["join"][&scene.room]["ephemeral"].to_string();
        assert!(!ephemeral.contains("m.typing"), "{ephemeral}");
    }
}
