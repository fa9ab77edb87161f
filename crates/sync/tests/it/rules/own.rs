//! Account data, receipts, typing, to-device messages, counts.

use std::time::Duration;

use blaupause_rooms::{Reader, ReceiptKind};
use blaupause_sync::SyncRequest;
use serde_json::{Value, json};

use super::world::{World, joined, kinds, room as section_of, since, texts};

#[tokio::test]
async fn account_data_is_told_when_it_changes_globally_and_of_rooms() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    assert_eq!(kinds(&first["account_data"]["events"]), ["m.push_rules"]);
    world.account_data(&alice, None, "org.one", json!({ "a": 1 })).await;
    world.account_data(&alice, Some(&room), "m.tag", json!({ "tags": {} })).await;
    let answer = world.next(&alice, &first).await;
    assert_eq!(
        answer["account_data"]["events"],
        json!([{ "type": "org.one", "content": { "a": 1 } }])
    );
    assert_eq!(kinds(&joined(&answer, &room)["account_data"]["events"]), ["m.tag"]);
    let next = world.next(&alice, &answer).await;
    assert!(next["account_data"].is_null() && next["rooms"].is_null());
}

#[tokio::test]
async fn receipts_are_everybodys_but_private_ones() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let event = world.server.say(&alice, &room, "x").await.expect("said");
    let (first_alice, first_bob) = (world.first(&alice).await, world.first(&bob).await);
    world.read(&bob, &room, &event, ReceiptKind::Private).await;
    let to_alice = world.next(&alice, &first_alice).await;
    assert!(to_alice["rooms"].is_null(), "{to_alice}");
    let to_bob = world.next(&bob, &first_bob).await;
    let receipt = |answer: &Value| joined(answer, &room)["ephemeral"]["events"][0].clone();
    assert!(
        receipt(&to_bob)["content"][event.as_str()]["m.read.private"][bob.as_str()].is_object()
    );
    world.read(&bob, &room, &event, ReceiptKind::Read).await;
    let to_alice = world.next(&alice, &to_alice).await;
    assert!(receipt(&to_alice)["content"][event.as_str()]["m.read"][bob.as_str()].is_object());
}

#[tokio::test]
async fn typing_is_told_while_it_lasts_and_when_it_ends() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let first = world.first(&alice).await;
    let reader = Reader::new(bob.id.clone(), None);
    let access = world.server.rooms.access(&reader, &room).await.expect("joined");
    access.set_typing(Some(Duration::from_secs(30))).expect("joined");
    let answer = world.next(&alice, &first).await;
    let typing = |answer: &Value| joined(answer, &room)["ephemeral"]["events"][0].clone();
    assert_eq!(typing(&answer)["content"]["user_ids"], json!([bob.id]));
    access.set_typing(None).expect("joined");
    let answer = world.next(&alice, &answer).await;
    assert_eq!(typing(&answer)["content"]["user_ids"], json!([]));
    assert!(world.next(&alice, &answer).await["rooms"].is_null());
}

#[tokio::test]
async fn device_messages_stay_until_the_next_token_says_they_arrived() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let first = world.first(&alice).await;
    world.message_device(&bob, &alice, "one").await;
    let answer = world.next(&alice, &first).await;
    let again = world.next(&alice, &first).await;
    for answer in [&answer, &again] {
        let event = &answer["to_device"]["events"][0];
        assert_eq!((&event["content"]["text"], &event["sender"]), (&json!("one"), &json!(bob.id)));
    }
    world.message_device(&bob, &alice, "two").await;
    let next = world.next(&alice, &again).await;
    assert_eq!(next["to_device"]["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(next["to_device"]["events"][0]["content"]["text"], "two");
    // What was said to have arrived is gone, even for a client that goes back.
    let behind = world.next(&alice, &first).await;
    assert_eq!(behind["to_device"]["events"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn more_device_messages_than_one_answer_takes_follow_without_loss() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    let mut answer = world.first(&alice).await;
    for n in 0..250 {
        world.message_device(&bob, &alice, &n.to_string()).await;
    }
    world.server.say(&alice, &room, "at the end").await.expect("said");
    let (mut seen, mut said) = (Vec::<usize>::new(), 0);
    for _ in 0..5 {
        answer = world.next(&alice, &answer).await;
        let events = answer["to_device"]["events"].as_array().cloned().unwrap_or_default();
        seen.extend(
            events
                .iter()
                .filter_map(|event| event["content"]["text"].as_str()?.parse::<usize>().ok()),
        );
        said += usize::from(joined(&answer, &room).is_object());
    }
    assert_eq!(seen, (0..250).collect::<Vec<usize>>());
    assert_eq!(said, 1, "the message is told once, with the answer that reaches it");
}

#[tokio::test]
async fn events_before_a_leave_that_belongs_to_the_next_answer_are_told() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let mut answer = world.first(&bob).await;
    world.message_device(&alice, &bob, "before").await;
    world.server.say(&alice, &room, "before the leave").await.expect("said");
    for n in 0..150 {
        world.message_device(&alice, &bob, &n.to_string()).await;
    }
    world.server.leave(&bob, &room).await.expect("a member");
    let (mut told, mut has_left) = (Vec::new(), false);
    for _ in 0..3 {
        answer = world.next(&bob, &answer).await;
        for section in ["join", "leave"] {
            let events = &section_of(&answer, section, &room)["timeline"]["events"];
            told.extend(texts(events).into_iter().map(str::to_owned));
        }
        has_left |= section_of(&answer, "leave", &room).is_object();
    }
    assert_eq!(told, ["before the leave"]);
    assert!(has_left);
}

#[tokio::test]
async fn unread_counts_tell_threads_apart_if_wanted() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let first = world.first(&bob).await;
    let root = world.server.say(&alice, &room, "root").await.expect("said");
    let relates = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = json!({ "msgtype": "m.text", "body": "bob!", "m.relates_to": relates });
    world.server.send(&alice, &room, "m.room.message", reply, None).await.expect("sent");
    let together = world.next(&bob, &first).await;
    assert_eq!(joined(&together, &room)["unread_notifications"]["notification_count"], 2);
    let filter = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let apart = world.filtered(&bob, Some(&first), filter).await;
    let told = joined(&apart, &room);
    assert_eq!(told["unread_notifications"]["notification_count"], 1);
    let thread = &told["unread_thread_notifications"][root.as_str()];
    assert_eq!((&thread["notification_count"], &thread["highlight_count"]), (&json!(1), &json!(0)));
    world.read(&bob, &room, &root, ReceiptKind::Read).await;
    let read = world.next(&bob, &together).await;
    assert_eq!(joined(&read, &room)["unread_notifications"]["notification_count"], 1);
}

#[tokio::test]
async fn only_the_sending_device_is_told_its_transaction() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    let content = json!({ "msgtype": "m.text", "body": "x" });
    world.server.send(&alice, &room, "m.room.message", content, Some("t1")).await.expect("sent");
    let of = async |device: &str| {
        let request =
            SyncRequest { since: since(&first), device: Some(device.into()), ..world.ask(&alice) };
        let answer = world.v3(request).await;
        joined(&answer, &room)["timeline"]["events"][0]["unsigned"]["transaction_id"].clone()
    };
    assert_eq!(of("DEVICE").await, "t1");
    assert!(of("OTHER").await.is_null());
}

#[tokio::test]
async fn an_edit_comes_with_its_message_when_both_are_new() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let first = world.first(&bob).await;
    let original = world.server.say(&alice, &room, "tpyo").await.expect("said");
    let edit = json!({
        "msgtype": "m.text",
        "body": "* typo",
        "m.new_content": { "msgtype": "m.text", "body": "typo" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": original },
    });
    let edit = world.server.send(&alice, &room, "m.room.message", edit, None).await.expect("sent");
    let answer = world.next(&bob, &first).await;
    let events = &joined(&answer, &room)["timeline"]["events"];
    let replace = &events[0]["unsigned"]["m.relations"]["m.replace"];
    assert_eq!(replace["event_id"], edit.as_str(), "{events}");
}
