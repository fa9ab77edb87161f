//! Round trips: what is cheap in memory is not on a networked store. A line of each is printed
//! (`cargo test -p blaupause-rooms budgets -- --nocapture`).

use blaupause_rooms::{
    ContextQuery, CreateRoom, DirectoryQuery, MembersQuery, MembershipAction, MessagesQuery,
    NewReceipt, Reader, ReceiptKind, SearchQuery, ThreadsQuery,
};
use blaupause_testkit::{Budget, TestServer, budget};
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{
        Direction,
        client::filter::{LazyLoadOptions, RoomEventFilter},
    },
    events::receipt::ReceiptThread,
    profile::ProfileFieldName,
};
use serde_json::json;

use crate::reading::access;

const fn most(reads: u64, commits: u64) -> Budget {
    Budget { reads, commits }
}

/// A second set of handles over the same store has nothing in memory but events and pages.
fn cold(server: &TestServer) -> TestServer {
    let (data, accounts) = (server.data.clone(), server.accounts.clone());
    let federation = server.federation.clone();
    let rooms = blaupause_rooms::Rooms::new(data, accounts, federation, Default::default());
    TestServer { rooms, ..server.clone() }
}

/// A room with some people and messages.
async fn busy_room(server: &TestServer) -> (OwnedUserId, OwnedUserId, OwnedRoomId) {
    let (alice, bob) = (server.account("alice").await, server.account("bob").await);
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    for n in 0..30 {
        let member = server.user(&format!("user{n}"));
        server.join(&member, &room).await.expect("public");
        server.say(&member, &room, &format!("message {n}")).await.expect("sent");
    }
    (alice, bob, room)
}

#[tokio::test]
async fn sending_to_a_busy_room_is_one_read_and_one_commit() {
    let server = TestServer::new().await;
    let (alice, _, room) = busy_room(&server).await;
    server.say(&alice, &room, "warm up").await.expect("sent");
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let content = json!({
        "msgtype": "m.text",
        "body": "x",
        "m.relates_to": { "rel_type": "m.thread", "event_id": root }
    });
    let send = || server.send(&alice, &room, "m.room.message", content.clone(), Some("1"));
    let sent = budget(&server.store, "send", most(1, 1), send()).await.expect("sent");
    let again = budget(&server.store, "send, repeated", most(1, 0), send()).await.expect("sent");
    assert_eq!(sent, again);
}

#[tokio::test]
async fn setting_state_in_a_busy_room_is_one_read_and_one_commit() {
    let server = TestServer::new().await;
    let (alice, _, room) = busy_room(&server).await;
    let set = |topic| server.set(&alice, &room, "m.room.topic", "", json!({ "topic": topic }));
    let first = set("first");
    budget(&server.store, "state, a new key", most(1, 1), first).await.expect("set");
    let again = set("second");
    budget(&server.store, "state", most(1, 1), again).await.expect("set");
    let same = set("second");
    budget(&server.store, "state, the same again", most(1, 0), same).await.expect("set");
}

#[tokio::test]
async fn creating_a_room_is_one_commit() {
    let server = TestServer::new().await;
    for (count, what) in [(20, "createRoom, 20 invited"), (200, "createRoom, 200 invited")] {
        let mut request = CreateRoom::new(server.user("alice"));
        request.name = Some("Tea".to_owned());
        request.alias = Some(format!("tea{count}"));
        request.published = true;
        request.invite = (0..count).map(|n| server.user(&format!("user{n}"))).collect();
        // The alias, the invited, the creator's profile.
        let create = server.rooms.create(request);
        budget(&server.store, what, most(3, 1), create).await.expect("a room");
    }
}

#[tokio::test]
async fn joining_inviting_and_removing_are_few_reads() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    for n in 0..100 {
        let member = server.user(&format!("user{n}"));
        server.act(&alice, MembershipAction::Invite, &member, &room).await.expect("invited");
    }
    let act = |server: &TestServer, action| {
        let (server, alice, bob, room) = (server.clone(), alice.clone(), bob.clone(), room.clone());
        async move { server.act(&alice, action, &bob, &room).await }
    };
    let store = &server.store;
    let invite = act(&server, MembershipAction::Invite);
    budget(store, "invite", most(5, 1), invite).await.expect("invited");
    let cold_server = cold(&server);
    let join = cold_server.join(&bob, &room);
    // One of them: which servers are in the room, kept in memory from then on.
    budget(store, "join, cold", most(14, 1), join).await.expect("invited");
    let kick = act(&cold_server, MembershipAction::Kick);
    budget(store, "kick", most(5, 1), kick).await.expect("kicked");
    let kick = cold(&server);
    act(&kick, MembershipAction::Invite).await.expect("invited");
    kick.join(&bob, &room).await.expect("invited");
    let leave = kick.leave(&bob, &room);
    budget(store, "leave", most(5, 1), leave).await.expect("left");
    let ban = act(&cold(&server), MembershipAction::Ban);
    budget(store, "ban, cold", most(10, 1), ban).await.expect("banned");
}

#[tokio::test]
async fn a_page_of_history_is_three_reads() {
    let server = TestServer::new().await;
    let (_, bob, room) = busy_room(&server).await;
    let reader = Reader::new(bob.clone(), Some("DEVICE".into()));
    let page = |server: &TestServer, lazy: bool| {
        let (rooms, reader, room) = (server.rooms.clone(), reader.clone(), room.clone());
        async move {
            let mut filter = RoomEventFilter::default();
            if lazy {
                let include_redundant_members = false;
                filter.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members };
            }
            let (from, to, dir, limit) = (None, None, Direction::Backward, 20);
            let query = MessagesQuery { from, to, dir, limit, filter };
            rooms.access(&reader, &room).await?.messages(&query).await
        }
    };
    let store = &server.store;
    let cold_server = cold(&server);
    let first = page(&cold_server, true);
    budget(store, "messages, cold", most(8, 0), first).await.expect("a page");
    let again = page(&cold_server, true);
    budget(store, "messages", most(3, 0), again).await.expect("a page");
}

#[tokio::test]
async fn an_events_context_is_a_few_reads() {
    let server = TestServer::new().await;
    let (alice, bob, room) = busy_room(&server).await;
    let event = server.say(&alice, &room, "here").await.expect("sent");
    server.say(&alice, &room, "after").await.expect("sent");
    let context = || async {
        let event = access(&server, &bob, &room).await?.event(&event).await?;
        let mut filter = RoomEventFilter::default();
        filter.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: false };
        event.context(&ContextQuery { limit: 10, filter }).await
    };
    budget(&server.store, "context, first", most(14, 0), context()).await.expect("a context");
    budget(&server.store, "context", most(7, 0), context()).await.expect("a context");
}

#[tokio::test]
async fn members_are_two_reads_however_many() {
    let server = TestServer::new().await;
    let (_, bob, room) = busy_room(&server).await;
    let members =
        || async { access(&server, &bob, &room).await?.members(&MembersQuery::default()).await };
    let all = budget(&server.store, "members", most(3, 0), members()).await.expect("members");
    assert_eq!(all.len(), 32);
    let joined = async { access(&server, &bob, &room).await?.joined_members().await };
    budget(&server.store, "joined_members", most(2, 0), joined).await.expect("members");
}

#[tokio::test]
async fn a_receipt_is_four_reads_and_typing_none() {
    let server = TestServer::new().await;
    let (alice, bob, room) = busy_room(&server).await;
    for thread in [ReceiptThread::Unthreaded, ReceiptThread::Main] {
        let event = server.say(&alice, &room, "x").await.expect("sent");
        let receipts = [ReceiptKind::Read, ReceiptKind::Private].map(|kind| NewReceipt {
            kind,
            event: event.clone(),
            thread: thread.clone(),
        });
        let warm = server.say(&alice, &room, "y").await.expect("sent");
        let warm = [NewReceipt { event: warm, ..receipts[0].clone() }];
        let set =
            async |of: &[NewReceipt]| access(&server, &bob, &room).await?.set_receipts(of).await;
        set(&warm).await.expect("set");
        let set = set(&receipts);
        budget(&server.store, "receipts", most(4, 1), set).await.expect("set");
    }
    let typing = |timeout| server.rooms.set_typing(&bob, &room, timeout);
    let time = Some(std::time::Duration::from_secs(5));
    budget(&server.store, "typing, first", most(1, 0), typing(time)).await.expect("joined");
    budget(&server.store, "typing", most(0, 0), typing(time)).await.expect("joined");
    budget(&server.store, "typing, stopped", most(0, 0), typing(None)).await.expect("joined");
    server.leave(&bob, &room).await.expect("joined");
    typing(time).await.expect_err("who left is not seen typing");
}

#[tokio::test]
async fn a_new_name_is_few_reads_in_however_many_rooms() {
    let server = TestServer::new().await;
    let alice = server.account("alice").await;
    for _ in 0..50 {
        server.public_room(&alice).await;
    }
    server.rooms.follow().await.expect("follows");
    let (field, name) = (ProfileFieldName::DisplayName, "Alice".into());
    let set = server.accounts.set_profile_field(&alice, &field, &name);
    budget(&server.store, "profile", most(2, 1), set).await.expect("set");
    let server = cold(&server);
    let follow = server.rooms.follow();
    // A commit a room, and one for the cursor; no read a room, and one for each page of the log to
    // see whether anybody came from an older room.
    budget(&server.store, "profile in 50 rooms", most(18, 51), follow).await.expect("follows");
    let closed = server.accounts.deactivate(&alice, false);
    closed.await.expect("closed");
    let follow = server.rooms.follow();
    budget(&server.store, "leaving 50 rooms", most(16, 51), follow).await.expect("follows");
    assert!(server.data.joined_rooms(&alice).await.expect("reads").is_empty());
}

#[tokio::test]
async fn redacting_is_a_few_reads() {
    let server = TestServer::new().await;
    let (alice, _, room) = busy_room(&server).await;
    let event = server.say(&alice, &room, "oops").await.expect("sent");
    let redact = server.redact(&alice, &room, &event);
    budget(&server.store, "redact", most(2, 1), redact).await.expect("redacted");
}

#[tokio::test]
async fn searching_and_listing_are_bounded_however_many_hits() {
    let server = TestServer::new().await;
    let (alice, bob, room) = busy_room(&server).await;
    for n in 0..10 {
        let other = server.public_room(&alice).await;
        server.join(&bob, &other).await.expect("public");
        server.say(&alice, &other, &format!("message in room {n}")).await.expect("sent");
        if n % 2 == 0 {
            server.leave(&bob, &other).await.expect("joined");
        }
    }
    let reader = Reader::new(bob.clone(), None);
    let mut filter = RoomEventFilter::default();
    filter.limit = Some(50u32.into());
    let query = SearchQuery {
        term: "message".to_owned(),
        keys: Vec::new(),
        filter,
        by_rank: false,
        context: Some((3, 3)),
        include_state: true,
        next_batch: None,
    };
    // The first search indexes what it reads.
    server.rooms.search(&reader, &query).await.expect("found");
    let search = server.rooms.search(&reader, &query);
    let found = budget(&server.store, "search, 40 hits", most(25, 0), search).await;
    assert_eq!(found.expect("found").results.len(), 40);
    let root = server.say(&alice, &room, "root").await.expect("sent");
    for _ in 0..30 {
        let relates = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": "x", "m.relates_to": relates });
        server.send(&alice, &room, "m.room.message", content, None).await.expect("sent");
    }
    let query = ThreadsQuery::default();
    let threads = async { access(&server, &bob, &room).await?.threads(&query).await };
    let threads = budget(&server.store, "threads", most(8, 0), threads).await.expect("threads");
    assert_eq!(threads.chunk.len(), 1);
}

#[tokio::test]
async fn the_directory_is_read_once() {
    let server = TestServer::new().await;
    let alice = server.account("alice").await;
    for n in 0..30 {
        let mut request = CreateRoom::new(alice.clone());
        request.name = Some(format!("Room {n}"));
        request.published = true;
        server.rooms.create(request).await.expect("a room");
    }
    let server = cold(&server);
    let query = DirectoryQuery::default();
    let list = || server.rooms.published(&query);
    let store = &server.store;
    let first = budget(store, "publicRooms, cold", most(5, 0), list()).await.expect("a page");
    let again = budget(store, "publicRooms", most(2, 0), list()).await.expect("a page");
    assert_eq!(first.total, 30);
    let name = |page: &blaupause_rooms::DirectoryPage| {
        page.rooms.iter().map(|room| room.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(name(&first), name(&again));
}
