use blaupause_data::Member;
use blaupause_rooms::MembershipAction;
use blaupause_testkit::TestServer;
use ruma::profile::ProfileFieldName;
use serde_json::json;

#[tokio::test]
async fn a_new_name_reaches_all_rooms_once() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let bob = server.account("bob").await;
    let rooms = [server.public_room(&alice).await, server.public_room(&bob).await];
    server.join(&bob, &rooms[0]).await.expect("public");
    let name = json!("Bob");
    server
        .accounts
        .set_profile_field(&bob, &ProfileFieldName::DisplayName, &name)
        .await
        .expect("set");
    server.rooms.follow().await.expect("follows");
    for room in &rooms {
        let content = server.state(room, "m.room.member", bob.as_str()).await.expect("set");
        assert_eq!(content, json!({ "membership": "join", "displayname": "Bob" }));
    }
    let count = server.timeline(&rooms[0]).await.len();
    server.rooms.follow().await.expect("follows");
    assert_eq!(server.timeline(&rooms[0]).await.len(), count);
    let third = server.private_room(&bob).await;
    let content = server.state(&third, "m.room.member", bob.as_str()).await.expect("set");
    assert_eq!(content["displayname"], "Bob");
    let invite = MembershipAction::Invite;
    let fourth = server.private_room(&alice).await;
    server.act(&alice, invite, &bob, &fourth).await.expect("invited");
    let content = server.state(&fourth, "m.room.member", bob.as_str()).await.expect("set");
    assert_eq!(content["displayname"], "Bob");
}

#[tokio::test]
async fn a_closed_account_leaves_its_rooms() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let bob = server.account("bob").await;
    let joined = server.public_room(&alice).await;
    server.join(&bob, &joined).await.expect("public");
    let invited = server.private_room(&alice).await;
    server.act(&alice, MembershipAction::Invite, &bob, &invited).await.expect("invited");
    server.accounts.deactivate(&bob, false).await.expect("closed");
    server.rooms.follow().await.expect("follows");
    for room in [&joined, &invited] {
        assert_eq!(server.membership(&bob, room).await, Some(Member::Leave));
    }
}
