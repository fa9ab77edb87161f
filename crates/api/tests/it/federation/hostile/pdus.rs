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
        ("no ids at all", json!(["x", "$", ""])),
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
        scene.is_well(&format!("join rule {at}")).await;
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
