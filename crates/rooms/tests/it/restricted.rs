use blaupause_data::Member;
use blaupause_graph::Refusal;
use blaupause_rooms::{Preset, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{RoomId, RoomVersionId, UserId};
use serde_json::json;

async fn restrict(server: &TestServer, by: &UserId, room: &RoomId, to: &RoomId) {
    let rule = json!({
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": to }, { "type": "org.x" }, 5]
    });
    server.set(by, room, "m.room.join_rules", "", rule).await.expect("set");
}

#[tokio::test]
async fn members_of_the_allowed_room_may_join() {
    let server = TestServer::new().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    for version in [RoomVersionId::V8, RoomVersionId::V10, RoomVersionId::V12] {
        let space = server.public_room(&alice).await;
        let room = server.room(&alice, Preset::Private, Some(version)).await;
        restrict(&server, &alice, &room, &space).await;
        server.join(&bob, &space).await.expect("public");
        server.join(&bob, &room).await.expect("a member of the space");
        let content = server.state(&room, "m.room.member", bob.as_str()).await.expect("set");
        assert_eq!(content["join_authorised_via_users_server"], json!(alice));
        let done = server.join(&carol, &room).await;
        assert!(matches!(done, Err(RoomsError::Forbidden(_))), "not in the space");
        assert_eq!(server.membership(&carol, &room).await, None);
    }
}

#[tokio::test]
async fn somebody_who_may_invite_has_to_vouch() {
    let server = TestServer::new().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let space = server.public_room(&alice).await;
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    restrict(&server, &alice, &room, &space).await;
    server.join(&carol, &space).await.expect("public");
    server.leave(&alice, &room).await.expect("left");
    let done = server.join(&carol, &room).await;
    assert!(matches!(done, Err(RoomsError::CannotGrantJoin)), "bob may not invite");
}

#[tokio::test]
async fn where_everybody_may_invite_everybody_can_vouch() {
    let server = TestServer::new().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let space = server.public_room(&alice).await;
    let room = server.room(&alice, Preset::Private, None).await;
    restrict(&server, &alice, &room, &space).await;
    server.join(&bob, &space).await.expect("public");
    server.join(&bob, &room).await.expect("in the space");
    server.join(&carol, &space).await.expect("public");
    server.leave(&alice, &room).await.expect("left");
    server.join(&carol, &room).await.expect("bob vouches");
    let content = server.state(&room, "m.room.member", carol.as_str()).await.expect("set");
    assert_eq!(content["join_authorised_via_users_server"], json!(bob));
}

#[tokio::test]
async fn the_invited_need_nobody_and_the_banned_stay_out() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let space = server.private_room(&alice).await;
    let room = server.private_room(&alice).await;
    restrict(&server, &alice, &room, &space).await;
    let invite = blaupause_rooms::MembershipAction::Invite;
    server.act(&alice, invite, &bob, &room).await.expect("invited");
    server.join(&bob, &room).await.expect("invited");
    let open = server.public_room(&alice).await;
    restrict(&server, &alice, &room, &open).await;
    server.join(&bob, &open).await.expect("public");
    let ban = blaupause_rooms::MembershipAction::Ban;
    server.act(&alice, ban, &bob, &room).await.expect("banned");
    let done = server.join(&bob, &room).await;
    assert!(matches!(done, Err(RoomsError::Refused(Refusal::NotAllowed(_)))));
    assert_eq!(server.membership(&bob, &room).await, Some(Member::Ban));
}

#[tokio::test]
async fn only_the_server_says_who_vouches() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let space = server.private_room(&alice).await;
    let room = server.private_room(&alice).await;
    restrict(&server, &alice, &room, &space).await;
    let forged = json!({ "membership": "join", "join_authorised_via_users_server": alice });
    let done = server.set(&bob, &room, "m.room.member", bob.as_str(), forged).await;
    assert!(matches!(done, Err(RoomsError::Forbidden(_))));
}
