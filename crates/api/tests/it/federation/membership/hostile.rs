//! Servers that answer something else than they were asked for.

use serde_json::{Value, json};

use super::{join, joined, public_room, room, shown};
use crate::{federation::network::Network, server::Client};

/// A join that must fail, with nothing to be seen of it.
async fn fails(who: &Client<'_>, room: &str, what: &str) {
    let answer = join(who, room, "a.example").await;
    let status = answer.status.as_u16();
    assert!(matches!(status, 400 | 403 | 404 | 502 | 504), "{what}: {status} {}", answer.body);
    assert_ne!(answer.code(), "M_UNKNOWN_TOKEN", "{what}");
    assert!(shown(who, "join", room).await.is_none(), "{what}");
    assert!(who.works().await, "{what}");
}

#[tokio::test]
async fn a_template_for_something_else_is_not_signed() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = public_room(&alice).await;
    for (field, value) in [
        ("type", json!("m.room.power_levels")),
        ("sender", json!("@boss:b.example")),
        ("state_key", json!("@boss:b.example")),
        ("room_id", json!("!other:a.example")),
        ("content", json!({ "membership": "leave" })),
        ("content", json!({ "membership": "ban" })),
        ("content", Value::Null),
        ("prev_events", json!("x")),
        ("prev_events", json!(vec!["$x"; 30])),
        ("depth", json!(u64::MAX)),
    ] {
        let (key, value) = (field.to_owned(), value.clone());
        let what = format!("{field} {value}");
        network.alter(&a, "make_join", move |answer| answer["event"][&key] = value.clone());
        fails(&bob, &room, &what).await;
    }
    for (what, answer) in [
        ("no answer", json!({})),
        ("a text", json!("x")),
        ("a version that nobody knows", json!({ "room_version": "org.x", "event": {} })),
        ("no event", json!({ "room_version": "12", "event": 5 })),
    ] {
        network.alter(&a, "make_join", move |body| *body = answer.clone());
        fails(&bob, &room, what).await;
    }
    assert_eq!(network.count(&a, "send_join"), 0, "nothing was signed");
    // The server itself is not to blame for ever.
    network.alter(&a, "make_join", |_| {});
    join(&bob, &room, "a.example").await.ok();
}

/// The events of a type in a list.
fn without(list: &mut Value, kind: &str) {
    list.as_array_mut().expect("a list").retain(|event| event["type"] != kind);
}

#[tokio::test]
async fn a_room_that_does_not_hold_together_is_not_taken_over() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 9] = [
        ("no create event", |body| {
            without(&mut body["state"], "m.room.create");
            without(&mut body["auth_chain"], "m.room.create");
        }),
        ("nothing", |body| {
            body["state"] = json!([]);
            body["auth_chain"] = json!([]);
        }),
        ("no member events", |body| {
            without(&mut body["state"], "m.room.member");
            without(&mut body["auth_chain"], "m.room.member");
        }),
        ("a forged create event", |body| {
            for list in ["state", "auth_chain"] {
                for event in body[list].as_array_mut().expect("a list") {
                    if event["type"] == "m.room.create" {
                        event["sender"] = json!("@mallory:a.example");
                    }
                }
            }
        }),
        ("forged join rules", |body| {
            for list in ["state", "auth_chain"] {
                for event in body[list].as_array_mut().expect("a list") {
                    if event["type"] == "m.room.join_rules" {
                        event["content"]["join_rule"] = json!("invite");
                        event["depth"] = json!(1);
                    }
                }
            }
        }),
        ("another event", |body| body["event"] = body["state"][0].clone()),
        ("an altered event", |body| body["event"]["depth"] = json!(3)),
        ("members left out", |body| body["members_omitted"] = json!(true)),
        ("no lists", |body| *body = json!({ "state": "x", "auth_chain": {} })),
    ];
    for version in ["10", "12"] {
        for (what, change) in &cases {
            let how = json!({ "preset": "public_chat", "room_version": version });
            let room = room(&alice, how).await;
            network.alter(&a, "send_join", *change);
            fails(&bob, &room, what).await;
            network.alter(&a, "send_join", |_| {});
            // A second attempt finds no ruins of the first.
            join(&bob, &room, "a.example").await.ok();
            assert_eq!(joined(&bob, &room).await.len(), 2, "{version} {what}");
        }
    }
}

#[tokio::test]
async fn some_broken_events_do_not_make_a_room_unreachable() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = public_room(&alice).await;
    network.alter(&a, "send_join", |body| {
        for broken in [json!({}), json!({ "type": 5 }), json!(5), json!([])] {
            body["state"].as_array_mut().expect("a list").push(broken.clone());
            body["auth_chain"].as_array_mut().expect("a list").push(broken);
        }
    });
    join(&bob, &room, "a.example").await.ok();
    assert_eq!(joined(&bob, &room).await.len(), 2);
}

#[tokio::test]
async fn what_another_server_says_never_ends_a_session() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = public_room(&alice).await;
    for path in ["make_join", "send_join", "query/directory", "make_knock", "hierarchy"] {
        network.alter_all(&a, path, |status, body| {
            *status = http::StatusCode::UNAUTHORIZED;
            *body = json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x", "soft_logout": false });
        });
    }
    for answer in [
        join(&bob, &room, "a.example").await,
        bob.post(&format!("/v3/knock/{room}?via=a.example"), json!({})).await,
        bob.get("/v3/directory/room/%23x:a.example").await,
        bob.get(&format!("/v1/room_summary/{room}?via=a.example")).await,
    ] {
        assert_ne!(answer.status.as_u16(), 401, "{}", answer.body);
        assert_ne!(answer.code(), "M_UNKNOWN_TOKEN");
    }
    assert!(bob.works().await);
}

#[tokio::test]
async fn a_template_of_a_leave_is_not_believed_either_and_the_leave_works() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = room(&alice, json!({ "preset": "private_chat", "invite": [bob.id] })).await;
    network.alter(&a, "make_leave", |answer| {
        answer["event"]["type"] = json!("m.room.tombstone");
        answer["event"]["state_key"] = json!("");
    });
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    assert!(shown(&bob, "invite", &room).await.is_none());
    assert_eq!(network.count(&a, "send_leave"), 0);
}

#[tokio::test]
async fn an_answer_to_an_invitation_must_be_the_invitation() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = room(&alice, json!({ "preset": "private_chat" })).await;
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 5] = [
        ("not signed", |body| body["event"]["signatures"] = json!({})),
        ("altered", |body| body["event"]["depth"] = json!(1)),
        ("another event", |body| body["event"]["content"]["membership"] = json!("ban")),
        ("nothing", |body| *body = json!({})),
        ("no event", |body| body["event"] = json!("x")),
    ];
    for (what, change) in cases {
        network.alter(&b, "/invite/", change);
        let body = json!({ "user_id": bob.id });
        let answer = alice.post(&format!("/v3/rooms/{room}/invite"), body).await;
        assert_eq!(answer.status.as_u16(), 502, "{what}: {}", answer.body);
        assert_eq!(super::membership(&alice, &room, &bob.id).await, "", "{what}");
    }
}

#[tokio::test]
async fn a_room_full_of_strangers_costs_nothing_but_a_refusal() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = public_room(&alice).await;
    network.alter(&a, "make_join", |answer| {
        answer["padding"] = json!("x".repeat(5 * 1024 * 1024));
    });
    fails(&bob, &room, "a template of five megabytes").await;
    let room: ruma::OwnedRoomId = room.try_into().expect("an id");
    assert!(b.data.servers_in(&room).await.expect("read").is_empty());
}
