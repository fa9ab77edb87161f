use blaupause_graph::Refusal;
use blaupause_rooms::RoomsError;
use blaupause_testkit::TestServer;
use serde_json::json;

#[tokio::test]
async fn state_is_replaced_and_the_replaced_event_is_known() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    server.set(&alice, &room, "m.room.name", "", json!({ "name": "a" })).await.expect("set");
    let before = server.timeline(&room).await.pop().expect("the first name");
    server.set(&alice, &room, "m.room.name", "", json!({ "name": "b" })).await.expect("set");
    let after = server.timeline(&room).await.pop().expect("the second name");
    assert_eq!(after.stored.replaces, Some(before.no));
    assert_eq!(after.stored.state_before, before.stored.state_after);
    assert_eq!(server.state(&room, "m.room.name", "").await, Some(json!({ "name": "b" })));
}

#[tokio::test]
async fn setting_the_same_again_makes_no_event() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let set = async || {
        server.set(&alice, &room, "m.room.name", "", json!({ "name": "a" })).await.expect("set")
    };
    assert_eq!(set().await, set().await);
}

#[tokio::test]
async fn old_states_stay_readable() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for n in 0..150 {
        let content = json!({ "n": n });
        server.set(&alice, &room, "org.x", &n.to_string(), content).await.expect("set");
    }
    let part = server.data.parts().room(&room);
    let timeline = server.timeline(&room).await;
    let start = timeline.len() - 150;
    for (n, event) in timeline[start..].iter().enumerate() {
        let key = ("org.x".to_owned(), n.to_string());
        let before = server
            .data
            .state_lookup(part, event.stored.state_before, std::slice::from_ref(&key))
            .await;
        assert_eq!(before.expect("reads"), [None]);
        let after = server.data.state_lookup(part, event.stored.state_after, &[key]).await;
        assert_eq!(after.expect("reads"), [Some(event.no)]);
    }
    let head = server.rooms.head(&room).await.expect("reads").expect("known");
    let all = server.data.state_all(part, head.state).await.expect("reads");
    assert_eq!(all.len(), timeline.len());
}

#[tokio::test]
async fn contents_of_the_wrong_shape_are_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let wrong = [
        ("m.room.name", "", json!({ "name": 5 })),
        ("m.room.topic", "", json!({ "topic": 5 })),
        ("m.room.avatar", "", json!({ "url": 5 })),
        ("m.room.guest_access", "", json!({ "guest_access": 5 })),
        ("m.room.power_levels", "", json!({ "users": { "@alice:example.org": "100" } })),
        ("m.room.power_levels", "", json!({ "users": { "@alice:example.org": 100.5 } })),
        ("m.room.power_levels", "", json!({ "users": [] })),
        ("m.room.power_levels", "", json!({ "ban": "50" })),
        ("m.room.tombstone", "", json!({ "replacement_room": room, "body": "x" })),
        ("m.room.tombstone", "", json!({})),
        ("m.room.member", "", json!({ "membership": "join" })),
        ("m.room.member", "@alice:example.org", json!({})),
    ];
    for (kind, key, content) in wrong {
        let done = server.set(&alice, &room, kind, key, content.clone()).await;
        let refused = matches!(done, Err(RoomsError::BadContent(_) | RoomsError::Invalid(_)));
        assert!(refused, "{kind} {content}: {done:?}");
    }
}

#[tokio::test]
async fn levels_that_creators_had_in_older_versions_are_malformed() {
    use blaupause_rooms::Preset;
    use ruma::RoomVersionId;
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.room(&alice, Preset::Public, Some(RoomVersionId::V12)).await;
    server.join(&bob, &room).await.expect("public");
    let content = json!({ "users": { "@alice:example.org": 100, "@bob:example.org": 50 } });
    let set = async |who| {
        server.set(who, &room, "m.room.power_levels", "", content.clone()).await.unwrap_err()
    };
    assert!(matches!(set(&alice).await, RoomsError::Refused(Refusal::Malformed(_))));
    let bob = set(&bob).await;
    assert!(matches!(bob, RoomsError::Refused(Refusal::NotAllowed(_))), "rights come first");
    let content = json!({ "users": { "@bob:example.org": 50 } });
    server.set(&alice, &room, "m.room.power_levels", "", content).await.expect("without creators");
}

#[tokio::test]
async fn nobody_raises_levels_above_their_own() {
    use blaupause_rooms::Preset;
    use ruma::RoomVersionId;
    let server = TestServer::new().await;
    let alice = server.user("alice");
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let room = server.room(&alice, Preset::Private, Some(version)).await;
        let content = json!({ "users": { "@alice:example.org": 101 } });
        let done = server.set(&alice, &room, "m.room.power_levels", "", content).await;
        assert!(matches!(done, Err(RoomsError::Refused(Refusal::NotAllowed(_)))));
    }
}

#[tokio::test]
async fn a_room_is_created_once_and_state_is_for_those_with_power() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    let create = server.set(&alice, &room, "m.room.create", "", json!({})).await;
    assert!(matches!(create, Err(RoomsError::Invalid(_))));
    let stranger = server.set(&bob, &room, "m.room.name", "", json!({ "name": "x" })).await;
    assert!(matches!(stranger, Err(RoomsError::Refused(Refusal::NotAllowed(_)))));
    server.join(&bob, &room).await.expect("joined");
    let member = server.set(&bob, &room, "m.room.name", "", json!({ "name": "x" })).await;
    assert!(matches!(member, Err(RoomsError::Refused(Refusal::NotAllowed(_)))));
}

#[tokio::test]
async fn a_member_event_can_be_set_as_state() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    let name = json!({ "membership": "join", "displayname": "Al" });
    server.set(&alice, &room, "m.room.member", alice.as_str(), name.clone()).await.expect("set");
    assert_eq!(server.state(&room, "m.room.member", alice.as_str()).await, Some(name));
    let invite = json!({ "membership": "invite" });
    server.set(&alice, &room, "m.room.member", bob.as_str(), invite).await.expect("invited");
    server.join(&bob, &room).await.expect("invited");
    let forged = json!({ "membership": "leave" });
    let done = server.set(&bob, &room, "m.room.member", alice.as_str(), forged).await;
    assert!(matches!(done, Err(RoomsError::Refused(Refusal::NotAllowed(_)))));
}
