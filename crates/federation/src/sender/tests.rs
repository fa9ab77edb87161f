//! What is owed survives, arrives and is then owed no longer.

mod peer;

use std::time::Duration;

use blaupause_data::Write;
use http::StatusCode;
use ruma::{ServerName, event_id, owned_room_id, owned_user_id, server_name};
use serde_json::{Value, json};

use super::{PassingEdu, deliver::Round};
use peer::{Server, event_ids};

fn b() -> &'static ServerName {
    server_name!("b.example")
}

#[tokio::test]
async fn an_event_of_ours_arrives_at_the_other_servers_once() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example", "b.example", "c.example"]).await;
    server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    server.event("!a:own.example", "@you:b.example", "m.room.message", None, json!({})).await;
    server.federation.owe_events().await.expect("a store");
    assert_eq!(server.round(b()).await, Round::Sent);
    assert_eq!(server.round(b()).await, Round::Idle);
    assert_eq!(server.round(server_name!("c.example")).await, Round::Sent);
    let sent = server.peer.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(event_ids(&sent[0].1), ["1"], "what is not ours is not for us to send");
    assert_eq!(sent[0].1["origin"], "own.example");
}

#[tokio::test]
async fn what_a_server_of_the_room_was_handed_it_tells_the_others_also_after_a_restart() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example", "b.example", "c.example"]).await;
    server.federation.handed_over(event_id!("$1"));
    let kinds = |body: &Value| {
        body["pdus"]
            .as_array()
            .map(|all| all.iter().map(|pdu| pdu["type"].clone()).collect::<Vec<_>>())
    };
    let join = json!({ "membership": "join" });
    let me = "@me:own.example";
    server.event("!a:own.example", me, "m.room.member", Some(me), join).await;
    server.federation.owe_events().await.expect("a store");
    let server = server.restarted().await;
    server.federation.owe_events().await.expect("a store");
    server.event("!a:own.example", me, "m.room.message", None, json!({})).await;
    server.federation.owe_events().await.expect("a store");
    for to in [b(), server_name!("c.example")] {
        assert_eq!(server.round(to).await, Round::Sent);
    }
    let sent = server.peer.sent();
    let only_what_came_later = |body| kinds(body) == Some(vec![json!("m.room.message")]);
    assert!(sent.iter().all(|(_, body)| only_what_came_later(body)), "{sent:?}");
}

#[tokio::test]
async fn a_room_without_other_servers_costs_no_batch() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example"]).await;
    server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    let (_, before) = server.store.round_trips();
    server.federation.owe_events().await.expect("a store");
    assert_eq!(server.store.round_trips().1, before);
}

#[tokio::test]
async fn many_events_for_many_servers_are_noted_in_one_batch() {
    let server = Server::new().await;
    let names: Vec<String> = (0..60).map(|n| format!("s{n}.example")).collect();
    let names: Vec<&str> =
        ["own.example"].into_iter().chain(names.iter().map(|name| &**name)).collect();
    server.room("!a:own.example", &names).await;
    for _ in 0..50 {
        server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    }
    let (_, before) = server.store.round_trips();
    server.federation.owe_events().await.expect("a store");
    assert_eq!(server.store.round_trips().1, before + 1, "debts and cursor");
    let server = server.restarted().await;
    let (_, before) = server.store.round_trips();
    server.federation.owe_events().await.expect("a store");
    assert_eq!(server.store.round_trips().1, before, "all of it was dealt with");
}

#[tokio::test]
async fn whoever_is_removed_hears_of_it_even_if_nobody_else_is_there() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example"]).await;
    let (sender, target) = ("@me:own.example", Some("@you:b.example"));
    for membership in ["invite", "leave", "ban"] {
        let content = json!({ "membership": membership });
        server.event("!a:own.example", sender, "m.room.member", target, content).await;
    }
    server.federation.owe_events().await.expect("a store");
    assert_eq!(server.round(b()).await, Round::Sent);
    assert_eq!(event_ids(&server.peer.sent()[0].1), ["2", "3"], "an invite goes its own way");
}

#[tokio::test]
async fn whoever_is_removed_gets_what_was_said_while_they_were_there() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example"]).await;
    let (sender, member) = ("@me:own.example", Some("@you:b.example"));
    let stranger = Some("@nobody:c.example");
    // The room is as it is after all of this: nobody else is there.
    let joined = json!({ "membership": "join" });
    server.event("!a:own.example", "@you:b.example", "m.room.member", member, joined).await;
    server.event("!a:own.example", sender, "m.room.message", None, json!({})).await;
    server.replacing(1, "!a:own.example", sender, member, json!({ "membership": "ban" })).await;
    server.event("!a:own.example", sender, "m.room.message", None, json!({})).await;
    let invited = json!({ "membership": "invite" });
    server.event("!a:own.example", sender, "m.room.member", stranger, invited).await;
    server.replacing(5, "!a:own.example", sender, stranger, json!({ "membership": "leave" })).await;
    server.federation.owe_events().await.expect("a store");
    assert_eq!(server.round(b()).await, Round::Sent);
    assert_eq!(event_ids(&server.peer.sent()[0].1), ["2", "3"], "not what was said later");
    assert_eq!(server.round(server_name!("c.example")).await, Round::Sent);
    assert_eq!(event_ids(&server.peer.sent()[1].1), ["6"], "who was not there reads nothing");
}

#[tokio::test]
async fn what_is_owed_survives_a_restart() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example", "b.example"]).await;
    server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    server.federation.owe_events().await.expect("a store");
    server.owe_edu(b(), "m.x", json!({ "n": 1 })).await;
    // Not even looked at before the crash.
    server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    let server = server.restarted().await;
    server.federation.wake_debtors().await.expect("a store");
    server.federation.owe_events().await.expect("a store");
    while server.round(b()).await == Round::Sent {}
    let sent = server.peer.sent();
    let events: Vec<_> = sent.iter().flat_map(|(_, body)| event_ids(body)).collect();
    assert_eq!(events, ["1", "2"]);
    assert_eq!(sent[0].1["edus"], json!([{ "edu_type": "m.x", "content": { "n": 1 } }]));
}

#[tokio::test]
async fn a_crash_after_sending_sends_the_same_again_and_no_less() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example", "b.example"]).await;
    server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    server.owe_edu(b(), "m.x", json!({ "n": 1 })).await;
    server.federation.owe_events().await.expect("a store");
    let before = server.copied().await;
    server.round(b()).await;
    before.round(b()).await;
    let (sent, again) = (server.peer.sent(), before.peer.sent());
    assert_eq!(
        (&sent[0].1["pdus"], &sent[0].1["edus"]),
        (&again[0].1["pdus"], &again[0].1["edus"])
    );
    assert_ne!(sent[0].0, again[0].0, "under another id: it may hold more by then");
}

#[tokio::test]
async fn a_server_that_is_away_is_left_alone_until_it_speaks() {
    let server = Server::new().await;
    server.owe_edu(b(), "m.x", json!({})).await;
    server.peer.answer(None);
    let Round::Wait(until) = server.round(b()).await else { panic!("it is away") };
    assert!(until > server.data.env().now_millis());
    assert_eq!(server.round(b()).await, Round::Wait(until));
    assert_eq!(server.peer.sent().len(), 1);
    let server = server.restarted().await;
    assert_eq!(server.round(b()).await, Round::Wait(until), "a restart forgets no pause");
    assert_eq!(server.peer.sent().len(), 0);
    server.link(b()).state.lock().heard = true;
    assert_eq!(server.round(b()).await, Round::Sent);
    assert_eq!(server.round(b()).await, Round::Idle);
}

#[tokio::test]
async fn after_a_long_silence_each_room_has_one_event_and_edus_are_all_there() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example", "b.example"]).await;
    for n in 0..5 {
        server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
        server.owe_edu(b(), "m.x", json!({ "n": n })).await;
    }
    server.federation.owe_events().await.expect("a store");
    server.peer.answer(None);
    assert!(matches!(server.round(b()).await, Round::Wait(_)));
    server.data.env().advance(Duration::from_secs(2 * 60 * 60));
    server.peer.answer(Some((StatusCode::OK, r#"{"pdus":{}}"#)));
    while server.round(b()).await == Round::Sent {}
    let sent = server.peer.sent();
    assert_eq!(event_ids(&sent[1].1), ["5"]);
    assert_eq!(sent[1].1["edus"].as_array().map(Vec::len), Some(5));
    assert_eq!(sent.len(), 2, "what is older is not owed any more");
}

#[tokio::test]
async fn a_transaction_that_is_refused_does_not_stop_what_comes_after_it() {
    let server = Server::new().await;
    server.owe_edu(b(), "m.bad", json!({})).await;
    server.peer.answer(Some((StatusCode::BAD_REQUEST, r#"{"errcode":"M_BAD_JSON"}"#)));
    for _ in 0..2 {
        assert!(matches!(server.round(b()).await, Round::Wait(_)));
        server.data.env().advance(Duration::from_secs(60));
    }
    assert_eq!(server.round(b()).await, Round::Sent, "given up");
    assert_eq!(server.round(b()).await, Round::Idle);
}

#[tokio::test]
async fn a_server_that_does_not_let_us_in_may_do_so_tomorrow() {
    let server = Server::new().await;
    server.owe_edu(b(), "m.x", json!({})).await;
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND] {
        server.peer.answer(Some((status, r#"{"errcode":"M_FORBIDDEN"}"#)));
        for _ in 0..4 {
            assert!(matches!(server.round(b()).await, Round::Wait(_)));
            server.data.env().advance(Duration::from_secs(24 * 60 * 60));
        }
    }
    server.peer.answer(Some((StatusCode::OK, r#"{"pdus":{}}"#)));
    assert_eq!(server.round(b()).await, Round::Sent);
}

#[tokio::test]
async fn what_cannot_be_brought_for_a_month_is_given_up() {
    let server = Server::new().await;
    server.owe_edu(b(), "m.x", json!({})).await;
    server.data.env().advance(Duration::from_secs(31 * 24 * 60 * 60));
    while server.round(b()).await == Round::Sent {}
    assert_eq!(server.peer.sent().len(), 0);
}

#[tokio::test]
async fn a_server_that_is_refused_is_owed_nothing_and_gets_nothing() {
    let server = Server::new().await;
    server.room("!a:own.example", &["own.example", "b.example"]).await;
    server.event("!a:own.example", "@me:own.example", "m.room.message", None, json!({})).await;
    server.owe_edu(b(), "m.x", json!({})).await;
    server.federation.owe_events().await.expect("a store");
    server.refuse("b.example");
    assert_eq!(server.round(b()).await, Round::Idle);
    server.owe_edu(b(), "m.x", json!({})).await;
    let edu = PassingEdu::Typing {
        room: owned_room_id!("!a:own.example"),
        user: owned_user_id!("@me:own.example"),
        typing: true,
    };
    server.federation.tell(&[b().to_owned()], &edu);
    assert!(!server.is_owed(b()).await);
    assert_eq!(server.peer.sent().len(), 0);
}

#[tokio::test]
async fn the_task_of_a_server_brings_everything_and_ends() {
    let server = Server::new().await;
    server.federation.start().await.expect("a store");
    for n in 0..250 {
        server.owe_edu(b(), "m.x", json!({ "n": n })).await;
    }
    for _ in 0..10_000 {
        if !server.is_owed(b()).await && server.federation.sender().links.lock().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(server.federation.sender().links.lock().is_empty());
    let sent = server.peer.sent();
    let numbers: Vec<_> = sent
        .iter()
        .flat_map(|(_, body)| body["edus"].as_array().cloned().unwrap_or_default())
        .map(|edu| edu["content"]["n"].as_u64())
        .collect();
    assert_eq!(numbers, (0..250).map(Some).collect::<Vec<_>>(), "in order and once");
    assert!(sent.iter().all(|(_, body)| body["edus"].as_array().is_some_and(|it| it.len() <= 100)));
}

#[tokio::test]
async fn two_edus_of_one_batch_are_both_owed() {
    let server = Server::new().await;
    let mut write = Write::new(server.data.parts().server(b()));
    server.federation.owe_edu(&mut write, b(), "m.x", &json!({ "n": 1 }));
    server.federation.owe_edu(&mut write, b(), "m.x", &json!({ "n": 2 }));
    server.data.commit(write).await.expect("a store");
    assert_eq!(server.round(b()).await, Round::Sent);
    assert_eq!(server.peer.sent()[0].1["edus"].as_array().map(Vec::len), Some(2));
}
