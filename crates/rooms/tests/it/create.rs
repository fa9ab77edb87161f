use blaupause_data::Member;
use blaupause_rooms::{CreateRoom, InitialState, Preset, RoomsError};
use blaupause_testkit::{TestServer, raw};
use ruma::{RoomVersionId, events::StateEventType};
use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => panic!("an object"),
    }
}

fn initial(kind: &str, content: &Value) -> InitialState {
    InitialState {
        kind: StateEventType::from(kind),
        state_key: String::new(),
        content: raw(content),
    }
}

const VERSIONS: [RoomVersionId; 11] = [
    RoomVersionId::V2,
    RoomVersionId::V3,
    RoomVersionId::V4,
    RoomVersionId::V5,
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

#[tokio::test]
async fn rooms_of_every_version_can_be_used() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    for version in VERSIONS {
        let room = server.room(&alice, Preset::Public, Some(version.clone())).await;
        server.join(&bob, &room).await.expect("a public room");
        server.say(&bob, &room, "hello").await.expect("a member speaks");
        let create = server.state(&room, "m.room.create", "").await.expect("a create event");
        assert_eq!(create["room_version"], json!(version));
        let old = !["11", "12"].contains(&version.as_str());
        assert_eq!(create.get("creator").is_some(), old, "{version}");
        assert_eq!(room.server_name().is_none(), version == RoomVersionId::V12);
    }
}

#[tokio::test]
async fn events_come_in_the_prescribed_order() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut request = CreateRoom::new(alice);
    request.alias = Some("tea".to_owned());
    request.name = Some("Tea".to_owned());
    request.topic = Some("Leaves".to_owned());
    request.initial_state = vec![initial("m.room.encryption", &json!({ "algorithm": "x" }))];
    request.invite = vec![bob];
    let room = server.rooms.create(request).await.expect("a room");
    let kinds: Vec<_> = server.timeline(&room).await.iter().map(|e| e.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "m.room.encryption",
            "m.room.name",
            "m.room.topic",
            "m.room.member",
        ]
    );
}

#[tokio::test]
async fn presets_set_what_the_specification_says() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let table = [
        (Preset::Private, "invite", Some("can_join")),
        (Preset::TrustedPrivate, "invite", Some("can_join")),
        // Forbidden is what holds where nothing is said.
        (Preset::Public, "public", None),
    ];
    for (preset, join_rule, guests) in table {
        for version in [RoomVersionId::V11, RoomVersionId::V12] {
            let mut request = CreateRoom::new(alice.clone());
            request.preset = Some(preset);
            request.version = Some(version.clone());
            request.invite = vec![bob.clone()];
            let room = server.rooms.create(request).await.expect("a room");
            let state = async |kind| server.state(&room, kind, "").await.expect("is set");
            assert_eq!(state("m.room.join_rules").await["join_rule"], join_rule);
            let access = server.state(&room, "m.room.guest_access", "").await;
            assert_eq!(
                access.map(|access| access["guest_access"].clone()),
                guests.map(Value::from)
            );
            let visibility = state("m.room.history_visibility").await;
            assert_eq!(visibility["history_visibility"], "shared");
            let trusted = preset == Preset::TrustedPrivate;
            let levels = state("m.room.power_levels").await;
            let create = state("m.room.create").await;
            if version == RoomVersionId::V12 {
                assert_eq!(levels["users"], json!({}));
                assert!(levels["events"]["m.room.tombstone"].as_i64() > Some(100));
                let creators = create.get("additional_creators");
                assert_eq!(creators, trusted.then(|| json!([bob])).as_ref());
            } else {
                assert_eq!(levels["users"][alice.as_str()], 100);
                let bob = levels["users"].get(bob.as_str()).and_then(Value::as_i64);
                assert_eq!(bob, trusted.then_some(100));
            }
        }
    }
}

#[tokio::test]
async fn published_rooms_are_public_unless_said_otherwise() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.published = true;
    let room = server.rooms.create(request).await.expect("a room");
    let rules = server.state(&room, "m.room.join_rules", "").await.expect("is set");
    assert_eq!(rules["join_rule"], "public");
    assert!(server.rooms.is_published(&room).await.expect("known"));
}

#[tokio::test]
async fn initial_state_takes_precedence_over_the_preset_and_the_name_over_it() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.initial_state = vec![
        initial("m.room.history_visibility", &json!({ "history_visibility": "joined" })),
        initial("m.room.name", &json!({ "name": "first" })),
    ];
    request.name = Some("second".to_owned());
    let room = server.rooms.create(request).await.expect("a room");
    let visibility = server.state(&room, "m.room.history_visibility", "").await.expect("is set");
    assert_eq!(visibility["history_visibility"], "joined");
    let name = server.state(&room, "m.room.name", "").await.expect("is set");
    assert_eq!(name["name"], "second");
}

#[tokio::test]
async fn power_levels_are_overridden_field_by_field() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.power_levels = object(json!({ "events_default": 10, "invite": 25 }));
    let room = server.rooms.create(request).await.expect("a room");
    let levels = server.state(&room, "m.room.power_levels", "").await.expect("is set");
    assert_eq!((&levels["events_default"], &levels["invite"]), (&json!(10), &json!(25)));
    assert_eq!(levels["ban"], 50);
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let with = |change: fn(&mut CreateRoom)| {
        let mut request = CreateRoom::new(alice.clone());
        change(&mut request);
        server.rooms.create(request)
    };
    let bad =
        with(|r| r.power_levels = object(json!({ "users": { "@alice:example.org": "100" } })));
    assert!(matches!(bad.await, Err(RoomsError::BadContent(_))));
    let bad = with(|r| r.power_levels = object(json!({ "users": { "@alice:example.org": 100 } })));
    assert!(matches!(bad.await, Err(RoomsError::InvalidRoomState(_))), "creators are not listed");
    let bad = with(|r| r.initial_state = vec![initial("m.room.create", &json!({}))]);
    assert!(matches!(bad.await, Err(RoomsError::Invalid(_))));
    let bad = with(|r| r.initial_state = vec![initial("m.room.member", &json!({}))]);
    assert!(matches!(bad.await, Err(RoomsError::BadContent(_))));
    let bad = with(|r| r.initial_state = vec![initial("m.room.name", &json!({ "name": 5 }))]);
    assert!(matches!(bad.await, Err(RoomsError::BadContent(_))));
    let bad = with(|r| r.initial_state = vec![initial("x.y", &json!({ "n": 1.5 }))]);
    assert!(matches!(bad.await, Err(RoomsError::Refused(_))));
    let bad = with(|r| r.creation_content = object(json!({ "m.federate": "yes" })));
    assert!(matches!(bad.await, Err(RoomsError::BadContent(_))));
    let bad = with(|r| r.creation_content = object(json!({ "additional_creators": ["x"] })));
    assert!(matches!(bad.await, Err(RoomsError::BadContent(_))));
    let bad = with(|r| r.version = Some(RoomVersionId::try_from("99").expect("a name")));
    assert!(matches!(bad.await, Err(RoomsError::UnsupportedVersion(_))));
    let bad = with(|r| r.version = Some(RoomVersionId::V1));
    assert!(matches!(bad.await, Err(RoomsError::UnsupportedVersion(_))));
    let bad = with(|r| r.alias = Some("x".repeat(300)));
    assert!(matches!(bad.await, Err(RoomsError::Invalid(_))));
    let bad = with(|r| r.alias = Some("#x".to_owned()));
    assert!(matches!(bad.await, Err(RoomsError::Invalid(_))));
    let bad = with(|r| r.name = Some("x".repeat(70_000)));
    assert!(matches!(bad.await, Err(RoomsError::Refused(_))));
    assert!(server.data.joined_rooms(&alice).await.expect("reads").is_empty());
}

#[tokio::test]
async fn the_server_decides_version_and_creator() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.creation_content =
        object(json!({ "room_version": "1", "creator": "@eve:evil.org", "org.x": 1 }));
    let room = server.rooms.create(request).await.expect("a room");
    let create = server.state(&room, "m.room.create", "").await.expect("is set");
    assert_eq!(create, json!({ "room_version": "12", "org.x": 1 }));
}

#[tokio::test]
async fn a_taken_alias_makes_no_room() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let create = async || {
        let mut request = CreateRoom::new(alice.clone());
        request.alias = Some("tea".to_owned());
        server.rooms.create(request).await
    };
    create().await.expect("the alias is free");
    assert!(matches!(create().await, Err(RoomsError::AliasTaken)));
    assert_eq!(server.data.joined_rooms(&alice).await.expect("reads").len(), 1);
}

#[tokio::test]
async fn equal_rooms_made_at_the_same_moment_are_different_rooms() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let (a, b) = tokio::join!(server.private_room(&alice), server.private_room(&alice));
    assert_ne!(a, b);
}

#[tokio::test]
async fn the_invited_see_what_the_room_is() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut request = CreateRoom::new(alice.clone());
    request.name = Some("Tea".to_owned());
    request.is_direct = true;
    // The creator's own name in the list changes nothing.
    request.invite = vec![bob.clone(), alice.clone(), bob.clone()];
    let room = server.rooms.create(request).await.expect("a room");
    let row = server.data.membership(&bob, &room).await.expect("reads").expect("is invited");
    assert_eq!((row.membership, &row.sender), (Member::Invite, &alice));
    let stripped: Vec<Value> =
        row.stripped.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let kinds: Vec<_> = stripped.iter().filter_map(|event| event["type"].as_str()).collect();
    let inviter_and_invite = ["m.room.member", "m.room.member"];
    assert_eq!(kinds[..3], ["m.room.create", "m.room.name", "m.room.join_rules"]);
    assert_eq!(kinds[3..], inviter_and_invite);
    let member = stripped.last().expect("the invite itself");
    assert_eq!(member["content"], json!({ "membership": "invite", "is_direct": true }));
    let mut fields: Vec<_> = member.as_object().expect("an object").keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, ["content", "sender", "state_key", "type"]);
    assert_eq!(server.membership(&alice, &room).await, Some(Member::Join));
}

#[tokio::test]
async fn many_invitations_fit_into_one_batch() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.invite = (0..200).map(|n| server.user(&format!("user{n}"))).collect();
    let room = server.rooms.create(request.clone()).await.expect("a room");
    let head = server.rooms.head(&room).await.expect("reads").expect("known");
    assert_eq!((head.joined, head.invited), (1, 200));
    request.invite.push(server.user("one_too_many"));
    assert!(matches!(server.rooms.create(request).await, Err(RoomsError::TooMany { .. })));
}

#[tokio::test]
async fn nobody_of_a_server_that_ours_does_not_speak_with_is_invited() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.invite = vec![ruma::UserId::parse("@eve:evil.org").expect("a user id")];
    // A server that speaks with no other.
    assert!(matches!(server.rooms.create(request).await, Err(RoomsError::Federation(_))));
}
