//! Events of another server that are part of the room.

use blaupause_data::{Change, Member};
use ruma::{RoomVersionId, events::StateEventType};
use serde_json::json;

use super::world::{Forged, Two};

#[tokio::test]
async fn a_room_is_taken_over_as_it_is() {
    for version in [RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12] {
        let two = Two::new(version).await;
        assert_eq!(two.a.state(&two.room).await, two.b.state(&two.room).await);
        let timeline = two.b.timeline(&two.room).await;
        assert_eq!(timeline.len(), 1, "only the join");
        let row = two.b.data.membership(&two.bob, &two.room).await.expect("reads").expect("a row");
        assert_eq!(row.membership, Member::Join);
        let servers = two.b.data.servers_in(&two.room).await.expect("reads");
        assert_eq!(servers, ["a.example", "b.example"]);
    }
}

#[tokio::test]
async fn what_is_said_there_is_read_here() {
    let two = Two::new(RoomVersionId::V12).await;
    let first = two.b.say(&two.bob, &two.room, "hello").await;
    let second = two.b.say(&two.bob, &two.room, "again").await;
    let pdus = vec![two.b.pdu(&two.room, &second).await, two.b.pdu(&two.room, &first).await];
    let staged = two.b.deliver(&two.a, pdus).await;
    assert!(staged.values().all(Result::is_ok));
    let timeline = two.a.timeline(&two.room).await;
    assert_eq!(timeline[timeline.len() - 2..], [first, second.clone()], "parents come first");
    let tips = two.a.head(&two.room).await.tips;
    assert_eq!(tips.iter().map(|tip| &tip.event_id).collect::<Vec<_>>(), [&second]);
    // And what is said here follows it.
    let third = two.a.say(&two.alice, &two.room, "hi").await;
    two.a.pass_on(&two.b, &two.room, &third).await;
    assert_eq!(two.b.timeline(&two.room).await.last(), Some(&third));
    assert!(two.network.asked().is_empty(), "nothing was missing");
}

#[tokio::test]
async fn a_remote_message_in_a_quiet_room_is_few_round_trips() {
    let two = Two::new(RoomVersionId::V12).await;
    for text in ["warm", "up"] {
        let event = two.b.say(&two.bob, &two.room, text).await;
        two.b.pass_on(&two.a, &two.room, &event).await;
    }
    let event = two.b.say(&two.bob, &two.room, "measured").await;
    let pdu = two.b.pdu(&two.room, &event).await;
    let before = two.a.store.round_trips();
    two.a.rooms.accept(two.b.name(), &two.room, pdu).await.expect("accepted");
    let after = two.a.store.round_trips();
    let (reads, commits) = (after.0 - before.0, after.1 - before.1);
    assert!(reads <= 2 && commits == 1, "{reads} reads, {commits} commits");
}

#[tokio::test]
async fn two_branches_become_one_and_the_rows_follow() {
    let two = Two::new(RoomVersionId::V12).await;
    // Neither knows what the other says.
    let topic = json!({ "topic": "tea" });
    let topic = two.a.set(&two.alice, &two.room, "m.room.topic", "", topic).await.expect("set");
    let message = two.b.say(&two.bob, &two.room, "meanwhile").await;
    two.b.pass_on(&two.a, &two.room, &message).await;
    two.a.pass_on(&two.b, &two.room, &topic).await;
    for server in [&two.a, &two.b] {
        assert_eq!(server.head(&two.room).await.tips.len(), 2);
        let state = server.state(&two.room).await;
        assert_eq!(state.get(&Two::name("m.room.topic", "")), Some(&topic));
    }
    // A message joins the branches.
    let joint = two.b.say(&two.bob, &two.room, "I see").await;
    let event = two.b.stored(&two.room, &joint).await.expect("stored");
    assert_eq!(event.stored.prev.len(), 2);
    assert_eq!(two.b.head(&two.room).await.tips.len(), 1);
    two.b.pass_on(&two.a, &two.room, &joint).await;
    assert_eq!(two.a.head(&two.room).await.tips.len(), 1);
    assert_eq!(two.a.state(&two.room).await, two.b.state(&two.room).await);
}

#[tokio::test]
async fn a_ban_in_another_branch_takes_a_key_back() {
    let two = Two::new(RoomVersionId::V12).await;
    let levels = json!({ "users": { two.bob.as_str(): 50 } });
    let levels = two.a.set(&two.alice, &two.room, "m.room.power_levels", "", levels).await;
    two.a.pass_on(&two.b, &two.room, &levels.expect("set")).await;
    // Bob sets a name, and Alice bans him, at the same time.
    let name = json!({ "name": "Bob's" });
    let name = two.b.set(&two.bob, &two.room, "m.room.name", "", name).await.expect("set");
    let ban = json!({ "membership": "ban" });
    let bob = two.bob.as_str();
    let ban = two.a.set(&two.alice, &two.room, "m.room.member", bob, ban).await.expect("set");
    two.b.pass_on(&two.a, &two.room, &name).await;
    two.a.pass_on(&two.b, &two.room, &ban).await;
    // Where the ban was known first the name is soft-failed; where the name was it falls.
    let at_a = two.a.stored(&two.room, &name).await.expect("stored");
    assert!(at_a.stored.soft_failed && at_a.place.is_none());
    let (a, b) = (two.a.state(&two.room).await, two.b.state(&two.room).await);
    assert_eq!(a.get(&Two::name("m.room.name", "")), None);
    assert_eq!(a, b);
    let row = two.b.data.membership(&two.bob, &two.room).await.expect("reads").expect("a row");
    assert_eq!(row.membership, Member::Ban);
    let changes = two.b.data.log_after(blaupause_data::StreamPos(0), 1_000).await.expect("reads");
    let told = changes.iter().any(|(_, change)| {
        matches!(change, Change::Membership { user, membership: Member::Ban, .. } if *user == two.bob)
    });
    assert!(told, "sync is told");
    assert_eq!(two.b.data.servers_in(&two.room).await.expect("reads"), ["a.example"]);
}

#[tokio::test]
async fn what_comes_after_a_soft_failed_event_takes_its_place() {
    let two = Two::new(RoomVersionId::V11).await;
    let before = two.a.head(&two.room).await.tips;
    // A message that Bob made before he was kicked and sends afterwards.
    let late = two.b.forge(&two.b, &two.room, Forged::message(&two.bob, "late")).await;
    let kick = json!({ "membership": "leave" });
    let bob = two.bob.as_str();
    two.a.set(&two.alice, &two.room, "m.room.member", bob, kick).await.expect("set");
    two.b.deliver(&two.a, vec![late.to_raw()]).await;
    let id = late.event_id().to_owned();
    let stored = two.a.stored(&two.room, &id).await.expect("stored");
    assert!(stored.stored.soft_failed, "its sender is gone");
    let tips = two.a.head(&two.room).await.tips;
    assert!(tips.iter().all(|tip| tip.event_id != id && *tip != before[0]));
    let visible = two.a.timeline(&two.room).await;
    assert!(!visible.contains(&id));
}

#[tokio::test]
async fn whoever_comes_back_keeps_the_history() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = two.b.say(&two.bob, &two.room, "I was here").await;
    two.b.pass_on(&two.a, &two.room, &said).await;
    let leave = json!({ "membership": "leave" });
    let bob = two.bob.as_str();
    let leave = two.b.set(&two.bob, &two.room, "m.room.member", bob, leave).await.expect("left");
    two.b.pass_on(&two.a, &two.room, &leave).await;
    assert_eq!(two.a.data.servers_in(&two.room).await.expect("reads"), ["a.example"]);
    for n in 0..5 {
        let topic = json!({ "topic": n.to_string() });
        let topic = two.a.set(&two.alice, &two.room, "m.room.topic", "", topic).await.expect("set");
        two.a.pass_on(&two.b, &two.room, &topic).await;
        assert!(two.b.stored(&two.room, &topic).await.is_none(), "not for us");
    }
    two.b.join_by(&two.a, &two.bob, &two.room).await;
    assert_eq!(two.a.state(&two.room).await, two.b.state(&two.room).await);
    let timeline = two.b.timeline(&two.room).await;
    assert!(timeline.contains(&said) && timeline.contains(&leave));
    assert_eq!(two.b.head(&two.room).await.tips.len(), 1);
    let name = (StateEventType::RoomTopic, String::new());
    let topic = two.b.rooms.current_state(&two.room, &[name]).await.expect("reads").pop();
    let topic = topic.flatten().expect("a topic");
    assert_eq!(topic.content_as::<serde_json::Value>(), Some(json!({ "topic": "4" })));
}
