use blaupause_data::Member;
use blaupause_rooms::{CreateRoom, MembershipAction, RoomsError, UpgradeRoom};
use blaupause_testkit::TestServer;
use ruma::{OwnedRoomId, OwnedUserId, RoomAliasId, RoomVersionId};
use serde_json::json;

fn to(version: &str, room: &OwnedRoomId, user: &OwnedUserId) -> UpgradeRoom {
    UpgradeRoom {
        room: room.clone(),
        user: user.clone(),
        version: RoomVersionId::try_from(version).expect("a version"),
        additional_creators: Vec::new(),
    }
}

#[tokio::test]
async fn a_room_moves_with_all_that_makes_it() {
    let server = TestServer::new().await;
    let (alice, bob, eve) = (server.user("alice"), server.user("bob"), server.user("eve"));
    for (from, version) in [("9", "11"), ("11", "12"), ("12", "12"), ("10", "10")] {
        let mut request = CreateRoom::new(alice.clone());
        request.version = Some(RoomVersionId::try_from(from).expect("a version"));
        request.published = true;
        request.name = Some("Tea".to_owned());
        request.alias = Some(format!("tea{from}"));
        request.creation_content.insert("type".to_owned(), json!("m.space"));
        let old = server.rooms.create(request).await.expect("a room");
        server.join(&bob, &old).await.expect("public");
        server.act(&alice, MembershipAction::Ban, &eve, &old).await.expect("banned");
        let new = server.rooms.upgrade(&to(version, &old, &alice)).await.expect("moved");

        let create = server.state(&new, "m.room.create", "").await.expect("set");
        assert_eq!(create["room_version"], version);
        assert_eq!(create["type"], "m.space");
        assert_eq!(create["predecessor"]["room_id"], json!(old));
        assert_eq!(create["predecessor"].get("event_id").is_some(), version != "12");
        let name = server.state(&new, "m.room.name", "").await;
        assert_eq!(name, Some(json!({ "name": "Tea" })));
        let rules = server.state(&new, "m.room.join_rules", "").await;
        assert_eq!(rules, Some(json!({ "join_rule": "public" })));
        assert_eq!(server.membership(&eve, &new).await, Some(Member::Ban));
        assert_eq!(server.membership(&bob, &new).await, None);

        let tombstone = server.state(&old, "m.room.tombstone", "").await.expect("a signpost");
        assert_eq!(tombstone["replacement_room"], json!(new));
        server.say(&alice, &old, "closed").await.expect("has the power");
        server.say(&bob, &old, "x").await.expect_err("the old room is closed");

        let alias = RoomAliasId::parse(format!("#tea{from}:example.org")).expect("an alias");
        assert_eq!(server.rooms.resolve_alias(&alias).await.expect("leads").room_id, new);
        let canonical = server.state(&new, "m.room.canonical_alias", "").await.expect("set");
        assert_eq!(canonical["alias"], json!(alias));
        assert!(server.rooms.is_published(&new).await.expect("known"));
        assert!(!server.rooms.is_published(&old).await.expect("known"));
        server.rooms.remove_alias(&alice, &alias).await.expect("their own");
    }
}

#[tokio::test]
async fn creators_are_named_anew_with_each_version() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut request = CreateRoom::new(alice.clone());
    request.version = Some(RoomVersionId::V11);
    request.preset = Some(blaupause_rooms::Preset::TrustedPrivate);
    request.invite = vec![bob.clone()];
    let old = server.rooms.create(request).await.expect("a room");
    let mut request = to("12", &old, &alice);
    request.additional_creators = vec![bob.clone(), alice.clone()];
    let new = server.rooms.upgrade(&request).await.expect("moved");
    let create = server.state(&new, "m.room.create", "").await.expect("set");
    assert_eq!(create["additional_creators"], json!([bob]));
    let levels = server.state(&new, "m.room.power_levels", "").await.expect("set");
    assert_eq!(levels["users"], json!({}));
    assert_eq!(levels["events"]["m.room.tombstone"], 150);
}

#[tokio::test]
async fn who_may_not_close_the_room_moves_nothing() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    let stranger = server.rooms.upgrade(&to("12", &room, &bob)).await;
    assert!(matches!(stranger, Err(RoomsError::NotJoined)));
    server.join(&bob, &room).await.expect("public");
    let member = server.rooms.upgrade(&to("12", &room, &bob)).await;
    assert!(matches!(member, Err(RoomsError::Refused(_))));
    let unsupported = server.rooms.upgrade(&to("99", &room, &alice)).await;
    assert!(matches!(unsupported, Err(RoomsError::UnsupportedVersion(_))));
    assert_eq!(server.data.joined_rooms(&bob).await.expect("reads").len(), 1);
    assert_eq!(server.state(&room, "m.room.tombstone", "").await, None);
}
