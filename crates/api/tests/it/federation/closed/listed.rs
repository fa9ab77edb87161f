//! Who is not on the list is not spoken with, and not spoken for.

use super::*;
use crate::federation::world::encoded;

/// What a person may ask for that another server would have to answer.
async fn outwards(scene: &Scene) -> Vec<(&'static str, Answer)> {
    let (alice, room) = (scene.alice().await, &scene.room);
    let strange = encoded("!strange:x.example");
    let query = json!({ "device_keys": { MALLORY: [] } });
    let claim = json!({ "one_time_keys": { MALLORY: { "DEVICE": "signed_curve25519" } } });
    let message = json!({ "messages": { MALLORY: { "*": { "n": 1 } } } });
    let invite = json!({ "user_id": MALLORY });
    let none = || json!({});
    let mut answers = vec![
        ("profile", alice.get(&format!("/v3/profile/{MALLORY}")).await),
        ("name", alice.get(&format!("/v3/profile/{MALLORY}/displayname")).await),
        ("media", alice.get("/v1/media/download/x.example/abc").await),
        ("media by name", alice.get("/v1/media/download/x.example/abc/a.png").await),
        (
            "thumbnail",
            alice.get("/v1/media/thumbnail/x.example/abc?width=32&height=32&method=crop").await,
        ),
        ("alias", alice.get("/v3/directory/room/%23strange:x.example").await),
        ("directory", alice.get("/v3/publicRooms?server=x.example").await),
        ("join by alias", alice.post("/v3/join/%23strange:x.example", none()).await),
        ("join by name", alice.post(&format!("/v3/join/{strange}"), none()).await),
        ("join by via", alice.post("/v3/join/!r:b.example?via=x.example", none()).await),
        ("knock", alice.post(&format!("/v3/knock/{strange}?via=x.example"), none()).await),
        ("summary", alice.get(&format!("/v1/room_summary/{strange}?via=x.example")).await),
        ("invite", alice.post(&format!("/v3/rooms/{room}/invite"), invite).await),
        ("room", alice.post("/v3/createRoom", json!({ "invite": [MALLORY] })).await),
    ];
    for (what, answer) in &answers {
        let status = answer.status.as_u16();
        assert!((400..500).contains(&status), "{what}: {status} {}", answer.body);
    }
    answers.clear();
    answers.push(("keys", alice.post("/v3/keys/query", query).await));
    answers.push(("one-time keys", alice.post("/v3/keys/claim", claim).await));
    let path = "/v3/sendToDevice/m.room.encrypted/t1";
    answers.push(("to device", alice.put(path, message).await));
    answers
}

#[tokio::test]
async fn nothing_leaves_for_a_server_that_is_not_on_the_list() {
    let scene = Scene::new(only(&["b.example"])).await;
    for (what, answer) in outwards(&scene).await {
        assert_eq!(answer.status, StatusCode::OK, "{what}: {}", answer.body);
        let told = answer.body["device_keys"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(told, 0, "{what}: {}", answer.body);
    }
    scene.is_silent_to_strangers();
    // Room for doubt only where nobody is asked at all: the friend is asked by the same words.
    scene.alice().await.get(&format!("/v3/profile/{BOB}")).await;
    assert_eq!(scene.b.asked("/query/profile").len(), 1);
}

#[tokio::test]
async fn a_friend_that_asks_for_a_strangers_keys_gets_what_is_known_and_no_more() {
    let scene = Scene::new(only(&["b.example"])).await;
    let query = "/_matrix/key/v2/query/x.example?minimum_valid_until_ts=0";
    let answer = scene.b.gets(&scene.a, query).await.ok();
    assert_eq!(answer, json!({ "server_keys": [] }));
    scene.is_silent_to_strangers();
}

#[tokio::test]
async fn children_of_a_space_that_only_strangers_know_are_not_asked_for() {
    let scene = Scene::new(only(&["b.example"])).await;
    let alice = scene.alice().await;
    let how = json!({ "creation_content": { "type": "m.space" }, "initial_state": [
        { "type": "m.space.child", "state_key": "!strange:x.example",
          "content": { "via": ["x.example"] } },
        { "type": "m.space.child", "state_key": "!known:x.example",
          "content": { "via": ["x.example", "b.example"] } },
    ] });
    let space = alice.post("/v3/createRoom", how).await.ok()["room_id"].clone();
    let path = format!("/v1/rooms/{}/hierarchy", encoded(space.as_str().expect("an id")));
    let rooms = alice.get(&path).await.ok()["rooms"].as_array().cloned().unwrap_or_default();
    assert_eq!(rooms.len(), 1, "only the space itself");
    scene.is_silent_to_strangers();
    assert_eq!(scene.b.asked("/hierarchy/").len(), 1, "the friend may know one of them");
}

#[tokio::test]
async fn a_friend_does_not_speak_for_strangers() {
    let scene = Scene::new(only(&["b.example"])).await;
    let (alice, room) = (scene.alice().await, &scene.room);
    let all = json!({ alice.id.as_str(): { "*": { "n": 1 } } });
    let edus = |who: &str| {
        let receipt = json!({ "m.read": { who: { "event_ids": ["$e"], "data": { "ts": 1 } } } });
        vec![
            json!({ "edu_type": "m.typing",
                "content": { "room_id": room, "user_id": who, "typing": true } }),
            json!({ "edu_type": "m.receipt", "content": { room.as_str(): receipt } }),
            json!({ "edu_type": "m.presence", "content": { "push": [
                { "user_id": who, "presence": "online", "last_active_ago": 1 }] } }),
            json!({ "edu_type": "m.direct_to_device", "content": { "sender": who,
                "type": "m.x", "message_id": who, "messages": all } }),
            json!({ "edu_type": "m.device_list_update", "content": { "user_id": who,
                "device_id": "D", "stream_id": 1, "prev_id": [] } }),
            json!({ "edu_type": "m.signing_key_update", "content": { "user_id": who } }),
        ]
    };
    let news = async |since: &str| alice.get(&format!("/v3/sync?timeout=0{since}")).await.ok();
    let since = format!("&since={}", news("").await["next_batch"].as_str().expect("a token"));
    scene.b.sends(&scene.a, Vec::new(), edus(MALLORY)).await.ok();
    let told = news(&since).await;
    assert_eq!(told["to_device"]["events"].as_array().map_or(0, Vec::len), 0, "{told}");
    assert_eq!(told["presence"]["events"].as_array().map_or(0, Vec::len), 0, "{told}");
    assert!(!told.to_string().contains("mallory"), "{told}");
    scene.b.sends(&scene.a, Vec::new(), edus(BOB)).await.ok();
    let told = news(&since).await;
    assert_eq!(told["to_device"]["events"].as_array().map_or(0, Vec::len), 1, "{told}");
    scene.is_silent_to_strangers();
}

#[tokio::test]
async fn a_stranger_gets_in_nowhere() {
    let scene = Scene::new(only(&["b.example"])).await;
    let room = encoded(&scene.room);
    let event = encoded("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let user = encoded(MALLORY);
    let body = || Some(json!({}));
    for (method, path, body) in [
        (Method::PUT, "/v1/send/1".to_owned(), body()),
        (Method::GET, format!("/v1/make_join/{room}/{user}?ver=11"), None),
        (Method::PUT, format!("/v2/send_join/{room}/{event}"), body()),
        (Method::PUT, format!("/v2/invite/{room}/{event}"), body()),
        (Method::GET, format!("/v1/backfill/{room}?v={event}&limit=1"), None),
        (Method::GET, format!("/v1/hierarchy/{room}"), None),
        (Method::GET, "/v1/publicRooms".to_owned(), None),
        (Method::GET, "/v1/query/profile?user_id=%40alice%3Aa.example".to_owned(), None),
        (Method::POST, "/v1/user/keys/query".to_owned(), body()),
        (Method::GET, "/v1/media/download/abc".to_owned(), None),
    ] {
        let answer = scene.x.asks(&scene.a, method, &path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "M_FORBIDDEN"), "{path}");
    }
    scene.is_silent_to_strangers();
}
