//! Transactions and histories with events that are not to be taken.

use serde_json::json;

use super::scene::Scene;
use crate::federation::world::encoded;

/// The largest number of canonical JSON.
const MAX: i64 = 9_007_199_254_740_991;

#[tokio::test]
async fn bad_events_do_not_harm_the_good_ones_of_their_transaction() {
    let scene = Scene::new("11").await;
    let version = scene.version().await;
    let (id, good) = scene.peer.signs(&scene.message("good").await, &version);
    let mut pdus = vec![
        json!(5),
        json!("x"),
        json!([]),
        json!(null),
        json!({}),
        json!({ "room_id": 5 }),
        json!({ "room_id": scene.room }),
        json!({ "room_id": "!nowhere:x.example", "type": "m.x" }),
    ];
    for field in
        ["type", "sender", "depth", "hashes", "signatures", "content", "auth_events", "prev_events"]
    {
        let mut event = good.clone();
        event.as_object_mut().expect("an object").remove(field);
        pdus.push(event.clone());
        event[field] = json!({ "x": [] });
        pdus.push(event);
    }
    pdus.push(good);
    scene.peer.sends(&scene.a, pdus, Vec::new()).await.ok();
    assert!(scene.seen(&id).await.is_some());
    scene.is_well("a mixed transaction").await;
}

#[tokio::test]
async fn many_rejected_events_do_not_end_the_history() {
    let scene = Scene::new("11").await;
    let version = scene.version().await;
    for round in 0..6 {
        let mut bad = Vec::new();
        for number in 0..50 {
            let content = json!({ "topic": format!("{round} {number}") });
            let event = scene.state("m.room.topic", "", content).await;
            bad.push(scene.peer.signs(&event, &version).1);
        }
        scene.peer.sends(&scene.a, bad, Vec::new()).await.ok();
    }
    let (mut from, mut found) = (String::new(), false);
    for _ in 0..20 {
        let path = format!("/v3/rooms/{}/messages?dir=b&limit=10{from}", scene.room);
        let page = scene.alice().get(&path).await.ok();
        let chunk = page["chunk"].as_array().expect("a list").clone();
        found |= chunk.iter().any(|event| event["content"]["body"] == "first");
        let Some(end) = page["end"].as_str() else { break };
        from = format!("&from={end}");
    }
    assert!(found, "the history goes on behind them");
    scene.is_well("rejected events").await;
}

#[tokio::test]
async fn json_that_can_be_read_in_two_ways_has_one_hash() {
    let scene = Scene::new("11").await;
    let version = scene.version().await;
    let (_, event) = scene.peer.signs(&scene.message("BODY").await, &version);
    let text = event.to_string();
    for (what, body) in [
        ("a key twice", r#""BODY","body":"OTHER""#),
        ("a key twice, the other first", r#""OTHER","body":"BODY""#),
        ("minus zero", r#""BODY","n":-0"#),
        ("a float", r#""BODY","n":1.0"#),
        ("an exponent", r#""BODY","n":1e3"#),
        ("a number that is too large", r#""BODY","n":9007199254740992"#),
        ("half a character", r#""BODY\ud800""#),
        ("an escape", r#""\u0042ODY""#),
        ("a null byte", r#""BODY\u0000""#),
    ] {
        let pdu = text.replace(r#""BODY""#, body);
        assert_ne!(pdu, text, "{what}");
        let transaction =
            format!(r#"{{"origin":"peer.example","origin_server_ts":1,"pdus":[{pdu}]}}"#);
        let answer = scene.peer.sends_raw(&scene.a, &transaction).await;
        assert!(answer.status.as_u16() < 500, "{what}: {}", answer.body);
        for id in answer.body["pdus"].as_object().into_iter().flatten().map(|(id, _)| id) {
            let told = scene.reads(&format!("/v1/event/{}", encoded(id))).await;
            if told.status == 200 {
                let pdu = &told.body["pdus"][0];
                assert_eq!(scene.peer.signs_id(pdu, &version), *id, "{what}");
            }
        }
        scene.is_well(what).await;
    }
}

#[tokio::test]
async fn an_access_list_of_any_size_is_quick() {
    let scene = Scene::with_power("11").await;
    let deny: Vec<String> =
        (0..1_200).map(|n| format!("*a*a*a*a*a*a*a*a*a*a{n}*b.example")).collect();
    let event = scene.state("m.room.server_acl", "", json!({ "allow": ["*"], "deny": deny })).await;
    assert!(scene.brings(&event).await.is_some());
    let version = scene.version().await;
    let mut pdus = Vec::new();
    for number in 0..50 {
        pdus.push(scene.peer.signs(&scene.message(&format!("{number}")).await, &version).1);
    }
    let start = tokio::time::Instant::now();
    let answer = scene.peer.sends(&scene.a, pdus, Vec::new()).await.ok();
    assert_eq!(answer["pdus"].as_object().map(serde_json::Map::len), Some(50));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    scene.is_well("a huge list").await;
}

#[tokio::test]
async fn the_deepest_event_is_not_the_end_of_the_room() {
    let scene = Scene::new("11").await;
    for depth in [json!(MAX), json!(MAX - 1), json!(0)] {
        let mut event = scene.message(&format!("depth {depth}")).await;
        event["depth"] = depth.clone();
        scene.brings(&event).await;
        scene.is_well(&format!("after {depth}")).await;
        let tip = crate::federation::peer::head(&scene.a, &scene.room).await.tips;
        assert!(tip.iter().all(|tip| tip.depth <= MAX.unsigned_abs()), "{tip:?}");
    }
}

#[tokio::test]
async fn what_nobody_here_is_in_any_more_stays_so() {
    let scene = Scene::new("11").await;
    let bob = scene.a.user("bob").await;
    bob.post(&format!("/v3/join/{}", scene.room), json!({})).await.ok();
    let join = scene.state_id("m.room.member", &bob.id).await;
    let join =
        scene.peer.state(&scene.a, &scene.room).await.into_iter().find(|(id, _)| *id == join);
    let (_, join) = join.expect("he is in it");
    let late = scene.message("late").await;
    let before = crate::federation::peer::head(&scene.a, &scene.room).await;
    for who in [&bob, &scene.alice()] {
        who.post(&format!("/v3/rooms/{}/leave", scene.room), json!({})).await.ok();
    }
    // His old join again, and what is said after it.
    let mut after = late.clone();
    after["prev_events"] =
        json!(before.tips.iter().map(|tip| tip.event_id.to_string()).collect::<Vec<_>>());
    let version = scene.version().await;
    let pdus =
        vec![join, scene.peer.signs(&late, &version).1, scene.peer.signs(&after, &version).1];
    scene.peer.sends(&scene.a, pdus, Vec::new()).await.ok();
    for who in [&bob, &scene.alice()] {
        let news = who.get("/v3/sync?timeout=0").await.ok();
        assert!(news["rooms"]["join"].get(&scene.room).is_none(), "{news}");
        let members = who.get("/v3/joined_rooms").await.ok();
        assert_eq!(members["joined_rooms"], json!([]));
    }
}
