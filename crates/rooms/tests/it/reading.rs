//! Who may read what: access to rooms, history visibility, single events, state, members.

use blaupause_data::Member;
use blaupause_rooms::{MembersQuery, MembershipAction, Reader, RoomAccess, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{OwnedRoomId, RoomId, UserId, events::StateEventType};
use serde_json::{Value, json, value::RawValue};

pub async fn access(
    server: &TestServer,
    user: &UserId,
    room: &RoomId,
) -> Result<RoomAccess, RoomsError> {
    server.rooms.access(&Reader::new(user.to_owned(), Some("DEVICE".into())), room).await
}

pub fn parsed(json: &[Box<RawValue>]) -> Vec<Value> {
    json.iter().map(|json| serde_json::from_str(json.get()).expect("JSON")).collect()
}

pub async fn visibility(server: &TestServer, user: &UserId, room: &RoomId, value: &str) {
    let content = json!({ "history_visibility": value });
    server.set(user, room, "m.room.history_visibility", "", content).await.expect("allowed");
}

/// Bodies of the messages that somebody sees, oldest first.
async fn seen(server: &TestServer, user: &UserId, room: &RoomId) -> Vec<String> {
    let page = crate::pages::page(server, user, room, "b", None, 100).await.expect("a page");
    let mut bodies: Vec<_> = parsed(&page.chunk)
        .iter()
        .filter_map(|event| event["content"]["body"].as_str().map(ToOwned::to_owned))
        .collect();
    bodies.reverse();
    bodies
}

async fn two_people(
    value: &str,
) -> (TestServer, ruma::OwnedUserId, ruma::OwnedUserId, OwnedRoomId) {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    visibility(&server, &alice, &room, value).await;
    server.say(&alice, &room, "before").await.expect("sent");
    (server, alice, bob, room)
}

#[tokio::test]
async fn strangers_cannot_read_and_unknown_rooms_look_the_same() {
    let (server, _, bob, room) = two_people("shared").await;
    for room in [room, "!unknown:example.org".try_into().expect("a room id")] {
        let refused = access(&server, &bob, &room).await.expect_err("not a member");
        assert!(matches!(refused, RoomsError::NotJoined));
    }
}

#[tokio::test]
async fn shared_history_opens_with_joining() {
    let (server, alice, bob, room) = two_people("shared").await;
    server.join(&bob, &room).await.expect("public");
    server.say(&alice, &room, "after").await.expect("sent");
    assert_eq!(seen(&server, &bob, &room).await, ["before", "after"]);
}

#[tokio::test]
async fn joined_history_begins_with_joining() {
    let (server, alice, bob, room) = two_people("joined").await;
    server.join(&bob, &room).await.expect("public");
    server.say(&alice, &room, "after").await.expect("sent");
    assert_eq!(seen(&server, &bob, &room).await, ["after"]);
}

#[tokio::test]
async fn invited_history_begins_with_the_invitation() {
    let (server, alice, bob, room) = two_people("invited").await;
    server.act(&alice, MembershipAction::Invite, &bob, &room).await.expect("invited");
    server.say(&alice, &room, "while invited").await.expect("sent");
    assert_eq!(seen(&server, &bob, &room).await, ["while invited"]);
    server.join(&bob, &room).await.expect("invited");
    server.say(&alice, &room, "after").await.expect("sent");
    assert_eq!(seen(&server, &bob, &room).await, ["while invited", "after"]);
}

#[tokio::test]
async fn an_invited_person_reads_nothing_of_shared_history() {
    let (server, alice, bob, room) = two_people("shared").await;
    server.act(&alice, MembershipAction::Invite, &bob, &room).await.expect("invited");
    assert!(access(&server, &bob, &room).await.is_err());
}

#[tokio::test]
async fn anybody_reads_a_world_readable_room_from_then_on() {
    let (server, alice, bob, room) = two_people("joined").await;
    visibility(&server, &alice, &room, "world_readable").await;
    server.say(&alice, &room, "open").await.expect("sent");
    assert_eq!(seen(&server, &bob, &room).await, ["open"]);
}

#[tokio::test]
async fn who_left_reads_up_to_their_leave() {
    let (server, alice, bob, room) = two_people("shared").await;
    server.join(&bob, &room).await.expect("public");
    server.say(&alice, &room, "together").await.expect("sent");
    server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "old" })).await.expect("set");
    server.leave(&bob, &room).await.expect("left");
    let after = server.say(&alice, &room, "alone").await.expect("sent");
    server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "new" })).await.expect("set");
    assert_eq!(seen(&server, &bob, &room).await, ["before", "together"]);
    let access = access(&server, &bob, &room).await.expect("has a history");
    let topic = access.state_event(&StateEventType::RoomTopic, "").await.expect("at the leave");
    assert_eq!(topic.content().get(), r#"{"topic":"old"}"#);
    assert!(matches!(access.event(&after).await, Err(RoomsError::EventUnknown)));
    assert!(matches!(access.joined_members().await, Err(RoomsError::NotJoined)));
    let state = parsed(&access.full_state().await.expect("at the leave"));
    let mine = state.iter().find(|event| event["state_key"] == bob.as_str()).expect("mine");
    assert_eq!(mine["content"]["membership"], "leave");
}

#[tokio::test]
async fn a_ban_after_leaving_opens_nothing_more() {
    let (server, alice, bob, room) = two_people("shared").await;
    server.join(&bob, &room).await.expect("public");
    server.leave(&bob, &room).await.expect("left");
    server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "new" })).await.expect("set");
    server.act(&alice, MembershipAction::Ban, &bob, &room).await.expect("banned");
    let access = access(&server, &bob, &room).await.expect("has a history");
    let topic = access.state_event(&StateEventType::RoomTopic, "").await;
    assert!(matches!(topic, Err(RoomsError::NotFound(_))));
}

#[tokio::test]
async fn a_forgotten_room_is_closed() {
    let (server, _, bob, room) = two_people("shared").await;
    server.join(&bob, &room).await.expect("public");
    server.leave(&bob, &room).await.expect("left");
    server.rooms.forget(&bob, &room).await.expect("left");
    assert!(matches!(access(&server, &bob, &room).await, Err(RoomsError::NotJoined)));
}

#[tokio::test]
async fn an_event_of_another_room_does_not_exist_here() {
    let (server, alice, _, room) = two_people("shared").await;
    let other = server.private_room(&alice).await;
    let foreign = server.say(&alice, &other, "x").await.expect("sent");
    let access = access(&server, &alice, &room).await.expect("joined");
    assert!(matches!(access.event(&foreign).await, Err(RoomsError::EventUnknown)));
}

#[tokio::test]
async fn members_are_told_by_membership_and_moment() {
    let (server, alice, bob, room) = two_people("shared").await;
    let before = crate::pages::page(&server, &alice, &room, "b", None, 1).await.expect("a page");
    server.join(&bob, &room).await.expect("public");
    let carol = server.user("carol");
    server.act(&alice, MembershipAction::Invite, &carol, &room).await.expect("invited");
    let access = access(&server, &alice, &room).await.expect("joined");
    let members = async |query: MembersQuery| {
        let mut members: Vec<_> = parsed(&access.members(&query).await.expect("members"))
            .iter()
            .map(|event| event["state_key"].as_str().expect("a state key").to_owned())
            .collect();
        members.sort();
        members
    };
    let (a, b, c) = (alice.to_string(), bob.to_string(), carol.to_string());
    assert_eq!(members(MembersQuery::default()).await, [&*a, &*b, &*c]);
    let joined = MembersQuery { membership: Some(Member::Join), ..MembersQuery::default() };
    assert_eq!(members(joined.clone()).await, [&*a, &*b]);
    let others = MembersQuery { not_membership: Some(Member::Join), ..MembersQuery::default() };
    assert_eq!(members(others).await, [&*c]);
    let then = MembersQuery { at: Some(before.start), ..joined };
    assert_eq!(members(then).await, [&*a]);
    let garbage = MembersQuery { at: Some("garbage".to_owned()), ..MembersQuery::default() };
    assert!(matches!(access.members(&garbage).await, Err(RoomsError::Invalid(_))));
    let joined = access.joined_members().await.expect("joined");
    assert_eq!(joined.into_keys().collect::<Vec<_>>(), [alice, bob]);
}

#[tokio::test]
async fn what_sync_found_is_filtered_by_the_same_rules() {
    let (server, alice, bob, room) = two_people("joined").await;
    server.join(&bob, &room).await.expect("public");
    server.say(&alice, &room, "after").await.expect("sent");
    let timeline = server.timeline(&room).await;
    let visible = server.rooms.visible_events(&bob, &room, timeline).await.expect("reads");
    // The room began with shared history: what was said under that stays open to who joins.
    let since: Vec<_> = visible.iter().skip(5).map(|event| &*event.kind).collect();
    assert_eq!(since, ["m.room.history_visibility", "m.room.member", "m.room.message"]);
}
