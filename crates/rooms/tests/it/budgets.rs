//! Round trips: what is cheap in memory is not on a networked store.

use blaupause_rooms::{CreateRoom, MembershipAction};
use blaupause_testkit::TestServer;
use serde_json::json;

#[tokio::test]
async fn sending_to_a_busy_room_is_one_read_and_one_commit() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    server.say(&alice, &room, "warm up").await.expect("sent");
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let content = json!({
        "msgtype": "m.text",
        "body": "x",
        "m.relates_to": { "rel_type": "m.thread", "event_id": root }
    });
    let send = server.send(&alice, &room, "m.room.message", content, Some("1"));
    let (sent, reads, commits) = server.round_trips(send).await;
    sent.expect("sent");
    assert_eq!((reads, commits), (1, 1));
}

#[tokio::test]
async fn creating_a_room_is_one_commit() {
    let server = TestServer::new().await;
    let mut request = CreateRoom::new(server.user("alice"));
    request.name = Some("Tea".to_owned());
    request.alias = Some("tea".to_owned());
    request.published = true;
    request.invite = (0..20).map(|n| server.user(&format!("user{n}"))).collect();
    let (room, reads, commits) = server.round_trips(server.rooms.create(request)).await;
    room.expect("a room");
    assert_eq!(commits, 1);
    assert!(reads <= 3, "{reads} reads: the alias, the invited, the creator's profile");
}

#[tokio::test]
async fn joining_a_cold_room_is_ten_reads_at_most() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    for n in 0..100 {
        let member = server.user(&format!("user{n}"));
        server.act(&alice, MembershipAction::Invite, &member, &room).await.expect("invited");
    }
    server.act(&alice, MembershipAction::Invite, &bob, &room).await.expect("invited");
    // A second set of handles over the same store has nothing in memory.
    let cold = blaupause_rooms::Rooms::new(
        server.data.clone(),
        server.accounts.clone(),
        blaupause_rooms::Settings::default(),
    );
    let server = TestServer { rooms: cold, ..server };
    let (joined, reads, commits) = server.round_trips(server.join(&bob, &room)).await;
    joined.expect("invited");
    assert_eq!(commits, 1);
    assert!(reads <= 10, "{reads} reads");
}
