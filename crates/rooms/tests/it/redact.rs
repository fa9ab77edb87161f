use blaupause_data::rows::RelationRow;
use blaupause_rooms::{Redact, RoomsError};
use blaupause_testkit::{TestServer, transaction_of};
use ruma::{EventId, RoomVersionId};
use serde_json::{Value, json};

#[tokio::test]
async fn a_redaction_removes_the_content_in_every_version() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let versions = [
        RoomVersionId::V2,
        RoomVersionId::V3,
        RoomVersionId::V6,
        RoomVersionId::V10,
        RoomVersionId::V11,
        RoomVersionId::V12,
    ];
    for version in versions {
        let preset = blaupause_rooms::Preset::Private;
        let room = server.room(&alice, preset, Some(version.clone())).await;
        let event = server.say(&alice, &room, "a secret").await.expect("sent");
        let before = server.timeline(&room).await.pop().expect("the message");
        let redaction = server.redact(&alice, &room, &event).await.expect("redacted");
        let timeline = server.timeline(&room).await;
        let [.., target, last] = timeline.as_slice() else { panic!("two events") };
        assert_eq!((target.no, target.place), (before.no, before.place), "it keeps its place");
        assert!(!target.stored.pdu.contains("a secret"));
        assert_eq!(target.content().get(), "{}");
        assert_eq!(target.stored.redacted_by, Some(last.no));
        assert_eq!(last.stored.event_id, redaction);
        let shown: Value =
            serde_json::from_str(last.client_json(None, None::<()>).get()).expect("JSON");
        assert_eq!(shown["redacts"], json!(event));
        // The event is still what its id says: the rest of the room can be sent on top of it.
        server.say(&alice, &room, "next").await.expect("sent");
    }
}

#[tokio::test]
async fn one_redacts_ones_own_events_and_with_power_those_of_others() {
    let server = TestServer::new().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = server.public_room(&alice).await;
    for user in [&bob, &carol] {
        server.join(user, &room).await.expect("joined");
    }
    let by_bob = server.say(&bob, &room, "1").await.expect("sent");
    let done = server.redact(&carol, &room, &by_bob).await;
    assert!(matches!(done, Err(RoomsError::Forbidden(_))), "same server is not enough");
    server.redact(&bob, &room, &by_bob).await.expect("their own");
    let by_bob = server.say(&bob, &room, "2").await.expect("sent");
    server.redact(&alice, &room, &by_bob).await.expect("with power");
    let by_alice = server.say(&alice, &room, "3").await.expect("sent");
    let done = server.redact(&bob, &room, &by_alice).await;
    assert!(matches!(done, Err(RoomsError::Forbidden(_))));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_redacted() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    let other = server.private_room(&alice).await;
    let elsewhere = server.say(&alice, &other, "x").await.expect("sent");
    let unknown = EventId::parse("$nosuch").expect("an event id");
    for event in [elsewhere, unknown] {
        let done = server.redact(&alice, &room, &event).await;
        assert!(matches!(done, Err(RoomsError::EventUnknown)));
        let stranger = server.redact(&bob, &room, &event).await;
        assert!(matches!(stranger, Err(RoomsError::NotJoined)));
    }
}

#[tokio::test]
async fn a_redacted_name_is_no_name_and_a_redacted_member_has_none() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let event = server.set(&alice, &room, "m.room.name", "", json!({ "name": "a" })).await;
    server.redact(&alice, &room, &event.expect("set")).await.expect("redacted");
    assert_eq!(server.state(&room, "m.room.name", "").await, Some(json!({})));
    // The lane knows, too: the same name can be set again.
    server.set(&alice, &room, "m.room.name", "", json!({ "name": "a" })).await.expect("set");
    assert_eq!(server.state(&room, "m.room.name", "").await, Some(json!({ "name": "a" })));
    let content = json!({ "membership": "join", "displayname": "Al" });
    let event = server.set(&alice, &room, "m.room.member", alice.as_str(), content).await;
    server.redact(&alice, &room, &event.expect("set")).await.expect("redacted");
    let members = server.data.members(&room, blaupause_data::Member::Join).await.expect("reads");
    assert_eq!(members[0].display_name, None);
    server.say(&alice, &room, "still here").await.expect("a member");
}

#[tokio::test]
async fn the_room_keeps_what_it_stands_on() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    server.set(&alice, &room, "m.room.encryption", "", content).await.expect("set");
    for event in server.timeline(&room).await {
        if ["m.room.create", "m.room.encryption"].contains(&event.kind.as_str()) {
            let done = server.redact(&alice, &room, &event.stored.event_id).await;
            assert!(matches!(done, Err(RoomsError::Forbidden(_))), "{}", event.kind);
        }
    }
}

#[tokio::test]
async fn a_redacted_reaction_no_longer_counts() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let content =
        json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": root, "key": "+" } });
    let reaction = server.send(&alice, &room, "m.reaction", content, None).await.expect("sent");
    let part = server.data.parts().room(&room);
    let count =
        async || server.data.list::<RelationRow>(part, &(), 9).await.expect("reads").rows.len();
    assert_eq!(count().await, 1);
    server.redact(&alice, &room, &reaction).await.expect("redacted");
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn a_repeated_redaction_is_one_event() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let event = server.say(&alice, &room, "x").await.expect("sent");
    let redact = Redact {
        room: room.clone(),
        sender: alice.clone(),
        event,
        reason: Some("spam".to_owned()),
        transaction: Some(transaction_of("1")),
        timestamp: None,
        own_only: false,
    };
    let first = server.rooms.redact(redact.clone()).await.expect("redacted");
    assert_eq!(server.rooms.redact(redact).await.expect("redacted"), first);
}

#[tokio::test]
async fn a_redaction_sent_as_an_event_redacts() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let event = server.say(&alice, &room, "x").await.expect("sent");
    let content = json!({ "redacts": event, "reason": "typo" });
    server.send(&alice, &room, "m.room.redaction", content, None).await.expect("redacted");
    let timeline = server.timeline(&room).await;
    let target = timeline.iter().find(|found| found.stored.event_id == event);
    assert!(target.is_some_and(|target| target.stored.redacted_by.is_some()));
    let nothing = server.send(&alice, &room, "m.room.redaction", json!({}), None).await;
    assert!(matches!(nothing, Err(RoomsError::BadContent(_))));
}
