//! Pages of history and what was said around an event.

use std::collections::BTreeSet;

use blaupause_rooms::{ContextQuery, Messages, MessagesQuery, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{
    RoomId, UserId,
    api::{Direction, client::filter::RoomEventFilter},
};
use serde_json::json;

use crate::reading::{access, parsed, visibility};

pub async fn page(
    server: &TestServer,
    user: &UserId,
    room: &RoomId,
    dir: &str,
    from: Option<String>,
    limit: u64,
) -> Result<Messages, RoomsError> {
    let dir = if dir == "b" { Direction::Backward } else { Direction::Forward };
    let filter = RoomEventFilter::default();
    let query = MessagesQuery { from, to: None, dir, limit, filter };
    access(server, user, room).await?.messages(&query).await
}

fn ids(page: &Messages) -> Vec<String> {
    let events = parsed(&page.chunk);
    events.iter().map(|event| event["event_id"].as_str().expect("an id").to_owned()).collect()
}

async fn all_pages(server: &TestServer, user: &UserId, room: &RoomId, dir: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut from = None;
    for _ in 0..100 {
        let page = page(server, user, room, dir, from, 3).await.expect("a page");
        all.extend(ids(&page));
        match page.end {
            Some(end) => from = Some(end),
            None => return all,
        }
    }
    panic!("there is no end");
}

#[tokio::test]
async fn pages_cover_the_timeline_once_in_both_directions() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for n in 0..10 {
        server.say(&alice, &room, &n.to_string()).await.expect("sent");
    }
    let timeline = server.timeline(&room).await;
    let mut timeline: Vec<_> =
        timeline.iter().map(|event| event.stored.event_id.to_string()).collect();
    assert_eq!(all_pages(&server, &alice, &room, "f").await, timeline);
    timeline.reverse();
    assert_eq!(all_pages(&server, &alice, &room, "b").await, timeline);
}

#[tokio::test]
async fn a_token_of_sync_is_a_gap_too() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let first = server.say(&alice, &room, "1").await.expect("sent");
    let token = format!("s{}_77_0", server.data.position().0);
    let second = server.say(&alice, &room, "2").await.expect("sent");
    let back = page(&server, &alice, &room, "b", Some(token.clone()), 1).await.expect("a page");
    assert_eq!(ids(&back), [first.to_string()]);
    let forth = page(&server, &alice, &room, "f", Some(token), 10).await.expect("a page");
    assert_eq!(ids(&forth), [second.to_string()]);
    assert_eq!(forth.end, None);
    let garbage = page(&server, &alice, &room, "f", Some("garbage".to_owned()), 10).await;
    assert!(matches!(garbage, Err(RoomsError::Invalid(_))));
}

#[tokio::test]
async fn a_huge_limit_is_cut_and_none_is_one() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for n in 0..110 {
        server.say(&alice, &room, &n.to_string()).await.expect("sent");
    }
    let huge = page(&server, &alice, &room, "b", None, u64::MAX).await.expect("a page");
    assert_eq!(huge.chunk.len(), 100);
    let none = page(&server, &alice, &room, "b", None, 0).await.expect("a page");
    assert_eq!(none.chunk.len(), 1);
}

#[tokio::test]
async fn what_is_skipped_does_not_end_the_history() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    visibility(&server, &alice, &room, "world_readable").await;
    let open = server.say(&alice, &room, "open").await.expect("sent");
    visibility(&server, &alice, &room, "joined").await;
    for n in 0..1_100 {
        server.say(&alice, &room, &n.to_string()).await.expect("sent");
    }
    server.join(&bob, &room).await.expect("public");
    let first = page(&server, &bob, &room, "b", None, 50).await.expect("a page");
    assert_eq!(first.chunk.len(), 1, "only the join");
    let second = page(&server, &bob, &room, "b", first.end, 50).await.expect("a page");
    assert!(ids(&second).contains(&open.to_string()));
}

#[tokio::test]
async fn filters_choose_and_lazy_loading_tells_the_senders() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    server.say(&alice, &room, "a").await.expect("sent");
    let wanted = server.say(&bob, &room, "b").await.expect("sent");
    let filter = json!({
        "types": ["m.room.mess*"], "not_senders": [alice], "lazy_load_members": true
    });
    let query = MessagesQuery {
        from: None,
        to: None,
        dir: Direction::Backward,
        limit: 10,
        filter: serde_json::from_value(filter).expect("a filter"),
    };
    let access = access(&server, &alice, &room).await.expect("joined");
    let page = access.messages(&query).await.expect("a page");
    assert_eq!(ids(&page), [wanted.to_string()]);
    let state = parsed(&page.state);
    let senders: BTreeSet<_> = state.iter().map(|event| event["state_key"].as_str()).collect();
    assert_eq!(senders, BTreeSet::from([Some(bob.as_str())]));
}

#[tokio::test]
async fn messages_of_the_ignored_are_left_out_but_not_state() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.account("alice").await, server.user("bob"));
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    server.say(&bob, &room, "spam").await.expect("sent");
    let content = blaupause_testkit::raw(&json!({ "ignored_users": { bob.as_str(): {} } }));
    let set = server.accounts.set_account_data(&alice, None, "m.ignored_user_list", &content);
    set.await.expect("set");
    let page = page(&server, &alice, &room, "b", None, 100).await.expect("a page");
    let kinds: Vec<_> = parsed(&page.chunk)
        .iter()
        .filter(|event| event["sender"] == bob.as_str())
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(kinds, ["m.room.member"]);
}

#[tokio::test]
async fn context_is_split_around_the_event() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let mut said = Vec::new();
    for n in 0..9 {
        said.push(server.say(&alice, &room, &n.to_string()).await.expect("sent").to_string());
    }
    let access = access(&server, &alice, &room).await.expect("joined");
    let id = said[4].as_str().try_into().expect("an id");
    let event = access.event(id).await.expect("seen");
    let query = ContextQuery { limit: 5, filter: RoomEventFilter::default() };
    let context = event.context(&query).await.expect("context");
    let ids = |json: &[_]| -> Vec<String> {
        parsed(json).iter().map(|event| event["event_id"].as_str().expect("id").into()).collect()
    };
    assert_eq!(ids(&context.before), [said[3].clone(), said[2].clone()]);
    assert_eq!(ids(&context.after), [said[5].clone(), said[6].clone(), said[7].clone()]);
    assert!(parsed(&context.state).iter().any(|event| event["type"] == "m.room.create"));
    let earlier = page(&server, &alice, &room, "b", Some(context.start), 1).await.expect("page");
    assert_eq!(ids(&earlier.chunk), [said[1].clone()]);
    let later = page(&server, &alice, &room, "f", Some(context.end), 1).await.expect("page");
    assert_eq!(ids(&later.chunk), [said[8].clone()]);
}

#[tokio::test]
async fn context_of_nothing_is_the_event_itself() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let id = server.say(&alice, &room, "x").await.expect("sent");
    let access = access(&server, &alice, &room).await.expect("joined");
    let event = access.event(&id).await.expect("seen");
    let query = ContextQuery { limit: 0, filter: RoomEventFilter::default() };
    let context = event.context(&query).await.expect("context");
    assert_eq!((context.before.len(), context.after.len()), (0, 0));
    assert_eq!(parsed(&[context.event])[0]["event_id"], id.as_str());
}

#[tokio::test]
async fn the_event_closest_to_a_moment_is_found() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let other = server.private_room(&alice).await;
    let mut said = Vec::new();
    for n in 0..300 {
        server.data.env().advance(std::time::Duration::from_secs(10));
        said.push(server.say(&alice, &room, &n.to_string()).await.expect("sent"));
        server.say(&alice, &other, "noise").await.expect("sent");
    }
    let access = access(&server, &alice, &room).await.expect("joined");
    let moment = |n: u64| blaupause_testkit::START_MS + 10_000 * (n + 1);
    for n in [0, 1, 150, 298] {
        let at = moment(n) + 1;
        let later = access.event_at(at, Direction::Forward).await.expect("found");
        assert_eq!(later.stored.event_id, said[n as usize + 1]);
        let earlier = access.event_at(at, Direction::Backward).await.expect("found");
        assert_eq!(earlier.stored.event_id, said[n as usize]);
    }
    let none = access.event_at(moment(300), Direction::Forward).await;
    assert!(matches!(none, Err(RoomsError::NotFound(_))));
    let none = access.event_at(1, Direction::Backward).await;
    assert!(matches!(none, Err(RoomsError::NotFound(_))));
}

#[tokio::test]
async fn a_warm_page_is_three_reads() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for n in 0..50 {
        server.say(&alice, &room, &n.to_string()).await.expect("sent");
    }
    let cold = page(&server, &alice, &room, "b", None, 50);
    let (cold, cold_reads, _) = server.round_trips(cold).await;
    assert_eq!(cold.expect("a page").chunk.len(), 50);
    let warm = page(&server, &alice, &room, "b", None, 50);
    let (warm, warm_reads, commits) = server.round_trips(warm).await;
    assert_eq!(warm.expect("a page").chunk.len(), 50);
    // Access, timeline, relations; cold also events, the pages of their states, ignored users, and
    // which servers are in the room.
    assert_eq!((warm_reads, commits), (3, 0));
    assert!(cold_reads <= 8, "{cold_reads}");
}
