use blaupause_graph::Refusal;
use blaupause_rooms::RoomsError;
use blaupause_testkit::TestServer;
use ruma::{OwnedRoomAliasId, RoomAliasId};
use serde_json::json;

fn alias(text: &str) -> OwnedRoomAliasId {
    RoomAliasId::parse(text).expect("an alias")
}

#[tokio::test]
async fn members_name_rooms_and_names_lead_there() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    let tea = alias("#tea:example.org");
    let nowhere = server.rooms.resolve_alias(&tea).await;
    assert!(matches!(nowhere, Err(RoomsError::NotFound(_))));
    let stranger = server.rooms.add_alias(&bob, &tea, &room).await;
    assert!(matches!(stranger, Err(RoomsError::NotJoined)));
    server.rooms.add_alias(&alice, &tea, &room).await.expect("free");
    assert_eq!(server.rooms.resolve_alias(&tea).await.expect("leads").room_id, room);
    assert_eq!(server.rooms.aliases_of(&room).await.expect("reads"), std::slice::from_ref(&tea));
    let taken = server.rooms.add_alias(&alice, &tea, &room).await;
    assert!(matches!(taken, Err(RoomsError::AliasTaken)));
    for bad in ["#tea:evil.org", "#a b:example.org"] {
        let done = server.rooms.add_alias(&alice, &alias(bad), &room).await;
        assert!(matches!(done, Err(RoomsError::Invalid(_))), "{bad}");
    }
}

#[tokio::test]
async fn names_are_taken_away_by_who_gave_them_or_has_power() {
    let server = TestServer::new().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    server.join(&carol, &room).await.expect("public");
    let tea = alias("#tea:example.org");
    server.rooms.add_alias(&bob, &tea, &room).await.expect("free");
    let done = server.rooms.remove_alias(&carol, &tea).await;
    assert!(matches!(done, Err(RoomsError::Forbidden(_))));
    server.rooms.remove_alias(&bob, &tea).await.expect("their own");
    server.rooms.add_alias(&bob, &tea, &room).await.expect("free");
    server.rooms.remove_alias(&alice, &tea).await.expect("with power");
    let gone = server.rooms.remove_alias(&alice, &tea).await;
    assert!(matches!(gone, Err(RoomsError::NotFound(_))));
    assert!(server.rooms.aliases_of(&room).await.expect("reads").is_empty());
}

#[tokio::test]
async fn a_canonical_alias_must_lead_to_the_room() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let other = server.private_room(&alice).await;
    let (tea, milk) = (alias("#tea:example.org"), alias("#milk:example.org"));
    server.rooms.add_alias(&alice, &tea, &room).await.expect("free");
    server.rooms.add_alias(&alice, &milk, &other).await.expect("free");
    let set =
        async |content| server.set(&alice, &room, "m.room.canonical_alias", "", content).await;
    for bad in [json!({ "alias": milk }), json!({ "alias": tea, "alt_aliases": ["#x:y.org"] })] {
        assert!(matches!(set(bad).await, Err(RoomsError::BadAlias(_))));
    }
    for bad in [json!({ "alias": "tea" }), json!({ "alt_aliases": [5] }), json!({ "alias": 5 })] {
        let done = set(bad).await;
        assert!(matches!(done, Err(RoomsError::Invalid(_) | RoomsError::BadContent(_))));
    }
    set(json!({ "alias": tea, "org.x": 1 })).await.expect("leads here");
    server.rooms.remove_alias(&alice, &tea).await.expect("their own");
    let content = server.state(&room, "m.room.canonical_alias", "").await;
    assert_eq!(content, Some(json!({ "org.x": 1 })), "the room no longer says so");
    set(json!({ "alias": "" })).await.expect("taken away");
}

#[tokio::test]
async fn who_may_not_change_the_room_may_still_take_their_alias_away() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    let tea = alias("#tea:example.org");
    server.rooms.add_alias(&bob, &tea, &room).await.expect("free");
    let content = json!({ "alias": tea });
    server.set(&alice, &room, "m.room.canonical_alias", "", content.clone()).await.expect("set");
    server.rooms.remove_alias(&bob, &tea).await.expect("their own");
    assert_eq!(server.state(&room, "m.room.canonical_alias", "").await, Some(content));
    let done = server.set(&bob, &room, "m.room.canonical_alias", "", json!({})).await;
    assert!(matches!(done, Err(RoomsError::Refused(Refusal::NotAllowed(_)))));
}
