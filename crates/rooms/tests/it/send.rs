use std::collections::HashSet;

use blaupause_graph::Refusal;
use blaupause_rooms::{MembershipAction, RoomsError};
use blaupause_testkit::TestServer;
use ruma::RoomId;
use serde_json::json;

#[tokio::test]
async fn a_repeated_transaction_gives_the_same_event() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let send = async |txn: &str| {
        let content = json!({ "msgtype": "m.text", "body": "x" });
        server.send(&alice, &room, "m.room.message", content, Some(txn)).await.expect("sent")
    };
    let first = send("1").await;
    assert_eq!(send("1").await, first);
    assert_ne!(send("2").await, first);
    let messages = server.timeline(&room).await;
    assert_eq!(messages.iter().filter(|event| event.kind == "m.room.message").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_transaction_at_the_same_time_gives_one_event() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let sends: Vec<_> = (0..20)
        .map(|_| {
            let (server, alice, room) = (server.clone(), alice.clone(), room.clone());
            server.data.env().clone().spawn(async move {
                let content = json!({ "msgtype": "m.text", "body": "x" });
                server.send(&alice, &room, "m.room.message", content, Some("1")).await
            })
        })
        .collect();
    let mut events = HashSet::new();
    for send in sends {
        events.insert(send.await.expect("no panic").expect("sent"));
    }
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn transactions_of_other_people_and_devices_are_others() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("joined");
    let content = json!({ "msgtype": "m.text", "body": "x" });
    let a = server.send(&alice, &room, "m.room.message", content.clone(), Some("1")).await;
    let b = server.send(&bob, &room, "m.room.message", content, Some("1")).await;
    assert_ne!(a.expect("sent"), b.expect("sent"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_concurrent_sends_are_a_hundred_events_in_one_order() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let sends: Vec<_> = (0..100)
        .map(|n| {
            let (server, alice, room) = (server.clone(), alice.clone(), room.clone());
            server
                .data
                .env()
                .clone()
                .spawn(async move { server.say(&alice, &room, &n.to_string()).await })
        })
        .collect();
    let mut sent = HashSet::new();
    for send in sends {
        sent.insert(send.await.expect("no panic").expect("sent"));
    }
    assert_eq!(sent.len(), 100);
    let timeline = server.timeline(&room).await;
    for pair in timeline.windows(2) {
        assert_eq!(pair[1].stored.prev, [pair[0].no], "each event follows the one before");
    }
    assert_eq!(
        timeline.len(),
        100 + timeline.iter().filter(|e| !sent.contains(&e.stored.event_id)).count()
    );
    let head = server.rooms.head(&room).await.expect("reads").expect("known");
    assert_eq!(head.tips[0].no, timeline.last().expect("events").no);
}

#[tokio::test]
async fn only_members_speak() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    let refused = |done| matches!(done, Err(RoomsError::Refused(Refusal::NotAllowed(_))));
    assert!(refused(server.say(&bob, &room, "x").await));
    server.join(&bob, &room).await.expect("joined");
    server.say(&bob, &room, "x").await.expect("a member");
    server.act(&alice, MembershipAction::Kick, &bob, &room).await.expect("kicked");
    assert!(refused(server.say(&bob, &room, "x").await), "kicked member cannot send");
    let unknown = RoomId::parse("!nosuch:example.org").expect("a room id");
    assert!(matches!(server.say(&alice, &unknown, "x").await, Err(RoomsError::RoomUnknown)));
}

#[tokio::test]
async fn content_must_be_canonical_json_of_the_right_shape_and_size() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let send = async |content| server.send(&alice, &room, "m.room.message", content, None).await;
    let float = send(json!({ "msgtype": "m.text", "body": "x", "n": 1.5 })).await;
    assert!(matches!(float, Err(RoomsError::Refused(Refusal::Malformed(_)))));
    let large =
        send(json!({ "msgtype": "m.text", "body": "x", "n": 9_007_199_254_740_992_u64 })).await;
    assert!(matches!(large, Err(RoomsError::Refused(Refusal::Malformed(_)))));
    let number = send(json!({ "msgtype": "m.text", "body": 5 })).await;
    assert!(matches!(number, Err(RoomsError::BadContent(_))));
    let long = send(json!({ "msgtype": "m.text", "body": "x".repeat(70_000) })).await;
    assert!(matches!(long, Err(RoomsError::Refused(Refusal::TooLarge { .. }))));
    let list = server.send(&alice, &room, "org.x", json!([1]), None).await;
    assert!(matches!(list, Err(RoomsError::Refused(Refusal::Malformed(_)))));
}

#[tokio::test]
async fn relations_are_indexed_and_replies_are_not() {
    use blaupause_data::rows::{EventNoRow, RelationRow};
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let reaction = json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": root, "key": "+" }
    });
    server.send(&alice, &room, "m.reaction", reaction, None).await.expect("sent");
    let reply = json!({
        "msgtype": "m.text",
        "body": "x",
        "m.relates_to": { "m.in_reply_to": { "event_id": root } }
    });
    server.send(&alice, &room, "m.room.message", reply, None).await.expect("sent");
    let elsewhere = json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": "$other", "key": "+" }
    });
    server.send(&alice, &room, "m.reaction", elsewhere, None).await.expect("sent");
    let part = server.data.parts().room(&room);
    let hash = server.data.parts().hash16(root.as_str());
    let target = server.data.get::<EventNoRow>(part, &hash).await.expect("reads").expect("known");
    let rows = server.data.list::<RelationRow>(part, &target.value, 10).await.expect("reads").rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0.1, "m.annotation");
    let all = server.data.list::<RelationRow>(part, &(), 10).await.expect("reads").rows;
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn the_sending_device_recognises_its_event() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let content = json!({ "msgtype": "m.text", "body": "x" });
    server.send(&alice, &room, "m.room.message", content, Some("t1")).await.expect("sent");
    let last = server.timeline(&room).await.pop().expect("the message");
    let part = server.data.parts().room(&room);
    let found = server.rooms.transactions(&[(part, last.no)]).await.expect("reads").pop();
    let found = found.flatten().expect("is noted");
    assert_eq!((found.device.as_str(), found.txn.as_str()), ("DEVICE", "t1"));
}

#[tokio::test]
async fn nobody_sends_a_second_create_event() {
    let server = TestServer::new().await;
    let (alice, eve) = (server.user("alice"), server.user("eve"));
    let room = server.private_room(&alice).await;
    for user in [&alice, &eve] {
        let done = server.send(user, &room, "m.room.create", json!({}), None).await;
        assert!(matches!(done, Err(RoomsError::Refused(_))), "{user}");
        let member =
            server.send(user, &room, "m.room.member", json!({ "membership": "join" }), None);
        assert!(matches!(member.await, Err(RoomsError::Refused(_))), "{user}");
    }
}

#[tokio::test]
async fn what_is_nested_deeply_can_be_read_and_redacted_or_is_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for depth in [90, 99, 100, 120, 126] {
        let mut content = json!({ "text": "}]" });
        for _ in 1..depth {
            content = json!({ "a": content });
        }
        match server.send(&alice, &room, "org.x", content, None).await {
            Ok(event) => {
                assert!(depth <= 100);
                server.redact(&alice, &room, &event).await.expect("redacted");
            }
            Err(error) => {
                assert!(matches!(error, RoomsError::BadContent(_)), "{error}");
                assert!(depth > 100);
            }
        }
    }
}
