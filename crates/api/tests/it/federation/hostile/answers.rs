//! A server that answers our questions with lies.

use http::StatusCode;
use serde_json::{Value, json};

use super::scene::{Scene, X};
use crate::federation::world::encoded;

/// Something is asked of the peer in every way that a client can; the answers.
async fn ask_everything(scene: &Scene) -> Vec<(String, crate::server::Answer)> {
    let alice = scene.alice();
    let room = "!theirs:peer.example";
    let user = "@new:peer.example";
    let keys = json!({ "device_keys": { user: [], X: [] }, "timeout": 1000 });
    let claim = json!({ "one_time_keys": { user: { "D": "signed_curve25519" } } });
    let search = json!({ "limit": 10, "filter": { "generic_search_term": "x" } });
    let mut all = vec![
        ("keys/query", alice.post("/v3/keys/query", keys).await),
        ("keys/claim", alice.post("/v3/keys/claim", claim).await),
        ("join", alice.post(&format!("/v3/join/{room}?via=peer.example"), json!({})).await),
        ("join alias", alice.post("/v3/join/%23x:peer.example", json!({})).await),
        ("knock", alice.post(&format!("/v3/knock/{room}?via=peer.example"), json!({})).await),
        ("publicRooms", alice.post("/v3/publicRooms?server=peer.example", search).await),
        (
            "invite",
            alice
                .post(&format!("/v3/rooms/{}/invite", scene.room), json!({ "user_id": user }))
                .await,
        ),
    ];
    for (what, path) in [
        ("profile", format!("/v3/profile/{user}")),
        ("displayname", format!("/v3/profile/{user}/displayname")),
        ("directory", "/v3/directory/room/%23x:peer.example".to_owned()),
        ("publicRooms", "/v3/publicRooms?server=peer.example".to_owned()),
        ("summary", format!("/v1/room_summary/{room}?via=peer.example")),
        ("media", "/v1/media/download/peer.example/abc?timeout_ms=500".to_owned()),
        (
            "thumbnail",
            "/v1/media/thumbnail/peer.example/abc?width=32&height=32&timeout_ms=500".to_owned(),
        ),
        ("messages", format!("/v3/rooms/{}/messages?dir=b&limit=100", scene.room)),
        ("hierarchy", format!("/v1/rooms/{}/hierarchy", scene.room)),
        ("timestamp", format!("/v1/rooms/{}/timestamp_to_event?ts=1&dir=b", scene.room)),
    ] {
        all.push((what, alice.get(&path).await));
    }
    all.into_iter().map(|(what, answer)| (what.to_owned(), answer)).collect()
}

#[tokio::test]
async fn no_answer_of_a_server_ends_a_session_or_breaks_ours() {
    let answers: Vec<(StatusCode, Vec<u8>)> = vec![
        (
            StatusCode::UNAUTHORIZED,
            json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x", "soft_logout": false })
                .to_string()
                .into(),
        ),
        (
            StatusCode::UNAUTHORIZED,
            json!({ "errcode": "M_MISSING_TOKEN", "flows": [], "session": "x" }).to_string().into(),
        ),
        (
            StatusCode::FORBIDDEN,
            json!({ "errcode": "M_USER_DEACTIVATED", "error": "x\r\ny" }).to_string().into(),
        ),
        (
            StatusCode::TOO_MANY_REQUESTS,
            json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": u64::MAX }).to_string().into(),
        ),
        (StatusCode::INTERNAL_SERVER_ERROR, b"<html>".to_vec()),
        (StatusCode::BAD_REQUEST, json!({ "errcode": 5, "error": [] }).to_string().into()),
        (StatusCode::OK, b"<html>".to_vec()),
        (StatusCode::OK, b"".to_vec()),
        (StatusCode::OK, b"null".to_vec()),
        (StatusCode::OK, b"[]".to_vec()),
        (StatusCode::OK, b"{}".to_vec()),
        (StatusCode::OK, b"{\"a\":\"\xff\"}".to_vec()),
        (StatusCode::OK, "{\"a\":".repeat(100_000).into_bytes()),
        (
            StatusCode::OK,
            format!("{{\"event\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes(),
        ),
        (StatusCode::OK, format!("{{\"a\":\"{}\"}}", "x".repeat(5 * 1024 * 1024)).into_bytes()),
        (StatusCode::MOVED_PERMANENTLY, b"{}".to_vec()),
        (StatusCode::NO_CONTENT, b"".to_vec()),
    ];
    for (status, body) in answers {
        let scene = Scene::new("11").await;
        let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        scene.peer.plays("/_matrix/federation/", move |_| (status, body.clone()));
        for (what, answer) in ask_everything(&scene).await {
            let got = answer.status.as_u16();
            let at = format!("{status} {shown} {what}: {got} {}", answer.body);
            assert!(got < 500 || matches!(got, 502 | 504), "{at}");
            assert_ne!(got, 401, "{at}");
            assert!(
                !["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"]
                    .contains(&answer.code()),
                "{at}"
            );
        }
        assert!(scene.alice().works().await);
        scene.is_well("after lies").await;
    }
}

#[tokio::test]
async fn keys_are_taken_of_the_server_they_belong_to_only() {
    let scene = Scene::new("11").await;
    let bob = scene.a.user("bob").await;
    let device = |user: &str, device: &str| {
        json!({ "user_id": user, "device_id": device, "algorithms": ["evil"],
            "keys": { format!("ed25519:{device}"): "AAAA" }, "signatures": {} })
    };
    let cross = |user: &str| json!({ "user_id": user, "usage": ["master"], "keys": { "ed25519:EVIL": "EVIL" } });
    let lie = json!({
        "user_id": X, "stream_id": 1,
        "devices": [
            { "device_id": "D", "keys": device(&bob.id, "D") },
            { "device_id": "E", "keys": device(X, "OTHER") },
        ],
        "master_key": cross(&bob.id),
        "self_signing_key": cross(&bob.id),
        "device_keys": {
            bob.id.as_str(): { "EVIL": device(&bob.id, "EVIL") },
            "@z:third.example": { "EVIL": device("@z:third.example", "EVIL") },
            X: { "EVIL": device(&bob.id, "EVIL"), "F": device(X, "G") },
        },
        "master_keys": { bob.id.as_str(): cross(&bob.id), X: cross(&bob.id) },
        "self_signing_keys": { bob.id.as_str(): cross(&bob.id) },
        "one_time_keys": { bob.id.as_str(): { "EVIL": { "signed_curve25519:A": { "key": "A" } } },
            X: { "EVIL": { "signed_curve25519:A": { "key": "A" } } } },
    });
    scene.peer.answers("/user/", lie);
    let alice = scene.alice();
    let wanted = json!({ "device_keys": { X: [], bob.id.as_str(): [], "@y:peer.example": [] } });
    let told = alice.post("/v3/keys/query", wanted).await.ok();
    assert!(!told["device_keys"].to_string().contains("evil"), "{told}");
    assert!(!told.to_string().contains("EVIL"), "{told}");
    let claim = json!({ "one_time_keys": { X: { "D": "signed_curve25519" } } });
    let told = alice.post("/v3/keys/claim", claim).await.ok();
    assert!(!told["one_time_keys"].to_string().contains("EVIL"), "{told}");
}

#[tokio::test]
async fn what_a_server_says_of_its_people_is_text_or_nothing() {
    let scene = Scene::new("11").await;
    let user = "@new:peer.example";
    let long = "x".repeat(300_000);
    for value in [json!(5), json!(null), json!([]), json!({}), json!(true), json!(long)] {
        let lie = json!({ "displayname": value, "avatar_url": value, "m.tz": value, "x": value });
        scene.peer.answers("query/profile", lie);
        for field in ["displayname", "avatar_url"] {
            let answer = scene.alice().get(&format!("/v3/profile/{user}")).await;
            assert!(answer.status.as_u16() < 500 || answer.status == 502, "{}", answer.body);
            let said = &answer.body[field];
            assert!(said.is_null() || said.is_string(), "{value}: {said}");
            assert!(said.as_str().is_none_or(|said| said.len() < 100_000), "{field} is long");
            let answer = scene.alice().get(&format!("/v3/profile/{user}/{field}")).await;
            assert!(answer.status.as_u16() < 500 || answer.status == 502, "{}", answer.body);
            let said = &answer.body[field];
            assert!(said.is_null() || said.is_string(), "{value}: {said}");
        }
        scene.network.env.advance(std::time::Duration::from_secs(24 * 60 * 60));
        let day = scene.network.env.now_millis() + 1_000_000;
        scene.peer.answers("/_matrix/key/v2/server", scene.peer.key_document(day));
    }
}

#[tokio::test]
async fn a_space_without_end_ends() {
    let scene = Scene::with_power("11").await;
    let space = "!space:peer.example";
    let link = |to: &str| {
        json!({ "type": "m.space.child", "state_key": to, "sender": X, "origin_server_ts": 1,
            "content": { "via": ["peer.example"] } })
    };
    let summary = |room: &str, children: Vec<Value>| {
        json!({ "room_id": room, "num_joined_members": 1, "world_readable": true,
            "guest_can_join": false, "join_rule": "public", "room_type": "m.space",
            "children_state": children })
    };
    // Each is a child of itself and of all others, and there are always new ones.
    scene.peer.plays("/hierarchy/", move |asked| {
        let room = asked.path.split("/hierarchy/").nth(1).unwrap_or_default();
        let room = room.split('?').next().unwrap_or_default().replace("%21", "!").replace("%3A", ":");
        let mut links: Vec<Value> = (0..500).map(|n| link(&format!("!s{n}{}:peer.example", room.len()))).collect();
        links.push(link(&room));
        links.push(link("!space:peer.example"));
        let children: Vec<Value> = links.iter().take(500).map(|link| summary(link["state_key"].as_str().unwrap_or_default(), links.clone())).collect();
        let answer = json!({ "room": summary(&room, links.clone()), "children": children, "inaccessible_children": [] });
        (StatusCode::OK, answer.to_string().into_bytes())
    });
    let alice = scene.alice();
    let own = alice
        .post("/v3/createRoom", json!({ "creation_content": { "type": "m.space" } }))
        .await
        .ok();
    let own = own["room_id"].as_str().expect("an id");
    for child in [space, own] {
        let path = format!("/v3/rooms/{own}/state/m.space.child/{}", encoded(child));
        alice.put(&path, json!({ "via": ["peer.example"] })).await.ok();
    }
    let (mut from, mut rooms) = (String::new(), std::collections::BTreeMap::<String, usize>::new());
    let start = tokio::time::Instant::now();
    for _ in 0..5 {
        let path = format!("/v1/rooms/{own}/hierarchy?limit=50&max_depth=50{from}");
        let page = alice.get(&path).await.ok();
        for room in page["rooms"].as_array().expect("a list") {
            *rooms.entry(room["room_id"].to_string()).or_default() += 1;
        }
        let Some(next) = page["next_batch"].as_str() else { break };
        from = format!("&from={next}");
    }
    assert!(rooms.values().all(|count| *count == 1), "no room twice");
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    assert!(
        scene.peer.asked("/hierarchy/").len() < 400,
        "{}",
        scene.peer.asked("/hierarchy/").len()
    );
}

#[tokio::test]
async fn an_alias_leads_to_a_room_or_nowhere() {
    let scene = Scene::new("11").await;
    let many: Vec<String> = (0..5_000).map(|n| format!("s{n}.example")).collect();
    for answer in [
        json!({ "room_id": "x", "servers": [] }),
        json!({ "room_id": 5, "servers": [] }),
        json!({ "room_id": "!r:peer.example", "servers": "x" }),
        json!({ "room_id": "!r:peer.example", "servers": ["not a server", 5, ""] }),
        json!({ "room_id": "!r:peer.example", "servers": many }),
        json!({ "room_id": format!("!{}", "x".repeat(70_000)), "servers": ["peer.example"] }),
    ] {
        scene.peer.answers("query/directory", answer);
        let alice = scene.alice();
        let told = alice.get("/v3/directory/room/%23x:peer.example").await;
        assert!(told.status.as_u16() < 500 || told.status == 502, "{}", told.body);
        assert!(told.body["servers"].as_array().is_none_or(|servers| servers.len() <= 500));
        let joined = alice.post("/v3/join/%23x:peer.example", json!({})).await;
        assert!(matches!(joined.status.as_u16(), 400..=499 | 502 | 504), "{}", joined.body);
    }
}
