//! Events that a room must not take, from a server that is in it.

use serde_json::{Value, json};

use super::scene::{Scene, X};
use crate::federation::world::{encoded, say};

/// The largest number of canonical JSON.
const MAX: i64 = 9_007_199_254_740_991;

#[tokio::test]
async fn an_event_that_rests_on_another_room_is_rejected() {
    let scene = Scene::new("11").await;
    let alice = scene.alice();
    let other = alice.post("/v3/createRoom", json!({ "preset": "public_chat",
        "room_version": "11", "power_level_content_override": { "users": { X: 100, alice.id.as_str(): 100 } } }));
    let other = other.await.ok()["room_id"].as_str().expect("an id").to_owned();
    scene.peer.joins(&scene.a, &other, X).await;
    let there = scene.peer.draft(&scene.a, &other, X, "m.room.topic").await;
    let here = scene.state("m.room.topic", "", json!({ "topic": "taken over" })).await;
    let auth = |event: &Value| event["auth_events"].as_array().expect("a list").clone();
    let (here_auth, there_auth) = (auth(&here), auth(&there));
    // All of it from there; only the power; only the membership.
    let all = there_auth.clone();
    let power = vec![here_auth[0].clone(), there_auth[1].clone(), here_auth[2].clone()];
    let member = vec![here_auth[0].clone(), here_auth[1].clone(), there_auth[2].clone()];
    for auth in [all, power, member] {
        let mut event = here.clone();
        event["auth_events"] = json!(auth);
        assert_eq!(scene.brings(&event).await, None);
    }
    assert_ne!(scene.current("m.room.topic", "").await["topic"], "taken over");
    scene.is_well("auth of another room").await;
}

#[tokio::test]
async fn strange_auth_events_stop_nothing() {
    let scene = Scene::new("11").await;
    let said = say(&scene.alice(), &scene.room, "said").await;
    let good = scene.message("good").await;
    let auth = good["auth_events"].as_array().expect("a list").clone();
    let with = |more: &[Value]| {
        let mut event = good.clone();
        event["auth_events"] = json!([auth.clone(), more.to_vec()].concat());
        event
    };
    for (what, event) in [
        ("a message", with(&[json!(said)])),
        ("one twice", with(&[auth[2].clone()])),
        ("alice", with(&[json!(scene.state_id("m.room.member", "@alice:a.example").await)])),
        ("no ids", with(&[json!("x"), json!("$")])),
        ("a long id", with(&[json!(format!("${}", "x".repeat(300)))])),
    ] {
        assert_eq!(scene.brings(&event).await, None, "{what}");
        scene.is_well(what).await;
    }
    // The parents, too.
    for (what, prev) in [
        ("its own parents twice", json!([good["prev_events"][0], good["prev_events"][0]])),
        ("no ids", json!(["x", "$", ""])),
        ("a message of long ago and none", json!([said, "$nothing"])),
    ] {
        let mut event = good.clone();
        event["prev_events"] = prev;
        scene.brings(&event).await;
        scene.is_well(what).await;
    }
}

#[tokio::test]
async fn nobody_redacts_what_they_may_not() {
    for version in ["10", "11", "12"] {
        let scene = Scene::new(version).await;
        let said = say(&scene.alice(), &scene.room, "said").await;
        let redaction = async |target: &str| {
            let mut event = scene.draft("m.room.redaction", json!({})).await;
            match version {
                "10" => event["redacts"] = json!(target),
                _ => event["content"]["redacts"] = json!(target),
            }
            event
        };
        scene.brings(&redaction(&said).await).await;
        let seen = scene.seen(&said).await.expect("it is there");
        assert_eq!(seen["content"]["body"], "said", "{version}");
        assert!(seen["unsigned"].get("redacted_because").is_none(), "{version}");
        // Of another room; of nothing; of itself as far as that goes.
        for target in ["$nothing", "x", ""] {
            scene.brings(&redaction(target).await).await;
        }
        if version != "12" {
            scene.set_levels(|levels| levels["users"][X] = json!(100)).await;
            let create = scene.state_id("m.room.create", "").await;
            scene.brings(&redaction(&create).await).await;
            assert_eq!(scene.version().await.as_str(), version);
            let levels = scene.state_id("m.room.power_levels", "").await;
            scene.brings(&redaction(&levels).await).await;
            assert_eq!(scene.current("m.room.power_levels", "").await["users"][X], 100);
        }
        scene.is_well("redactions").await;
    }
}

#[tokio::test]
async fn power_levels_of_any_kind_break_nothing() {
    let slots = [
        "ban",
        "invite",
        "kick",
        "redact",
        "events_default",
        "state_default",
        "users_default",
        "users",
        "events",
        "notifications",
    ];
    let values = [
        json!(MAX),
        json!(-MAX),
        json!("100"),
        json!("x"),
        json!(null),
        json!([]),
        json!({}),
        json!({ "a": "b" }),
        json!({ "@alice:a.example": -MAX, X: 100 }),
        json!({ "room": -MAX }),
        json!({ "m.room.message": -MAX, "m.room.name": MAX }),
        json!({ X: MAX }),
    ];
    let scene = Scene::with_power("9").await;
    let levels = scene.current("m.room.power_levels", "").await;
    for slot in slots {
        for value in &values {
            let mut content = levels.clone();
            content[slot] = value.clone();
            let event = scene.state("m.room.power_levels", "", content).await;
            scene.brings(&event).await;
            scene.is_readable(&format!("{slot} {value}")).await;
            let path = format!(
                "/v3/rooms/{}/send/m.room.message/{slot}{}",
                scene.room,
                encoded(&value.to_string())
            );
            let answer =
                scene.alice().put(&path, json!({ "msgtype": "m.text", "body": "x" })).await;
            assert!(matches!(answer.status.as_u16(), 200 | 403), "{slot} {value}: {}", answer.body);
            // As it was, if that is still to be had.
            let event = scene.state("m.room.power_levels", "", levels.clone()).await;
            scene.brings(&event).await;
        }
    }
}

#[tokio::test]
async fn state_of_wrong_types_does_not_reach_clients_as_something_else() {
    let scene = Scene::with_power("11").await;
    let wrong = [json!(5), json!(null), json!([]), json!({ "a": 1 }), json!(true), json!("")];
    let fields = [
        ("m.room.name", "name"),
        ("m.room.topic", "topic"),
        ("m.room.avatar", "url"),
        ("m.room.canonical_alias", "alias"),
        ("m.room.canonical_alias", "alt_aliases"),
        ("m.room.guest_access", "guest_access"),
        ("m.room.history_visibility", "history_visibility"),
        ("m.room.encryption", "algorithm"),
        ("m.room.server_acl", "deny"),
        ("m.room.pinned_events", "pinned"),
        ("m.room.tombstone", "replacement_room"),
        ("m.room.join_rules", "join_rule"),
        ("m.room.join_rules", "allow"),
        ("m.space.child", "via"),
        ("m.space.child", "order"),
        ("org.example.any", "any"),
    ];
    for (kind, field) in fields {
        for value in &wrong {
            let key = if kind == "m.space.child" { "!child:a.example" } else { "" };
            let mut content = json!({ field: value });
            if kind == "m.room.server_acl" {
                content["allow"] = json!(["*"]);
            }
            if field == "allow" {
                content["join_rule"] = json!("restricted");
            }
            let event = scene.state(kind, key, content).await;
            scene.brings(&event).await;
            scene.is_well(&format!("{kind} {field} {value}")).await;
        }
    }
    for field in ["displayname", "avatar_url", "reason", "is_direct", "third_party_invite"] {
        for value in &wrong {
            let content = json!({ "membership": "join", field: value });
            let event = scene.state("m.room.member", X, content).await;
            scene.brings(&event).await;
            scene.is_well(&format!("member {field} {value}")).await;
        }
    }
}

#[tokio::test]
async fn nobody_joins_by_a_rule_that_nobody_knows() {
    let scene = Scene::with_power("11").await;
    assert!(scene.may_join("@y:peer.example").await);
    for (at, rule) in [
        json!("org.example.open"),
        json!("Public"),
        json!(""),
        json!(5),
        json!(null),
        json!(["public"]),
    ]
    .into_iter()
    .enumerate()
    {
        let event = scene.state("m.room.join_rules", "", json!({ "join_rule": rule })).await;
        if scene.brings(&event).await.is_none() {
            continue;
        }
        assert!(!scene.may_join(&format!("@y{at}:peer.example")).await, "{rule}");
        scene.is_well("join rule").await;
    }
}

#[tokio::test]
async fn a_room_of_version_12_has_no_second_founder() {
    let scene = Scene::new("12").await;
    let rule = format!("/v3/rooms/{}/state/m.room.join_rules", scene.room);
    scene.alice().put(&rule, json!({ "join_rule": "invite" })).await.ok();
    let create = format!("${}", scene.room.trim_start_matches('!'));
    let mut join =
        scene.state("m.room.member", "@y:peer.example", json!({ "membership": "join" })).await;
    join["sender"] = json!("@y:peer.example");
    join["prev_events"] = json!([create]);
    join["auth_events"] = json!([]);
    join["depth"] = json!(2);
    assert_eq!(scene.brings(&join).await, None);
    assert_ne!(scene.current("m.room.member", "@y:peer.example").await["membership"], "join");
    scene.is_well("second founder").await;
}

#[tokio::test]
async fn an_invitation_by_mail_with_a_forged_proof_is_rejected() {
    let scene = Scene::new("11").await;
    scene.set_levels(|levels| levels["invite"] = json!(100)).await;
    let token = json!({ "display_name": "b...@example.org", "key_validity_url": "https://peer.example/x",
        "public_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "public_keys": [] });
    let path = format!("/v3/rooms/{}/state/m.room.third_party_invite/token", scene.room);
    let set = scene.alice().put(&path, token).await;
    let proof =
        scene.peer.signed_json(json!({ "mxid": "@victim:third.example", "token": "token" }));
    for signed in [
        proof,
        json!({ "mxid": "@victim:third.example", "token": "token", "signatures": {} }),
        json!({}),
        json!(5),
    ] {
        let content = json!({ "membership": "invite",
            "third_party_invite": { "display_name": "b", "signed": signed } });
        let mut event = scene.state("m.room.member", "@victim:third.example", content).await;
        if set.status == 200 {
            let invite = scene.state_id("m.room.third_party_invite", "token").await;
            event["auth_events"].as_array_mut().expect("a list").push(json!(invite));
        }
        assert_eq!(scene.brings(&event).await, None, "{signed}");
    }
    scene.is_well("third party invite").await;
}

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
    let start = std::time::Instant::now();
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
