//! Events that relate to an event, and threads.

use blaupause_rooms::{Relations, RelationsQuery, RoomsError, ThreadsQuery};
use blaupause_testkit::TestServer;
use ruma::{EventId, OwnedEventId, RoomId, UserId, api::Direction};
use serde_json::json;

use crate::{
    bundles::relate,
    reading::{access, parsed},
};

async fn relations(
    server: &TestServer,
    user: &UserId,
    room: &RoomId,
    event: &EventId,
    query: RelationsQuery,
) -> Relations {
    let access = access(server, user, room).await.expect("may read");
    access.event(event).await.expect("seen").relations(&query).await.expect("relations")
}

fn ids(json: &[Box<serde_json::value::RawValue>]) -> Vec<OwnedEventId> {
    let events = parsed(json);
    let id = |event: &serde_json::Value| event["event_id"].as_str().expect("id").try_into();
    events.iter().map(|event| id(event).expect("an id")).collect()
}

#[tokio::test]
async fn relations_are_given_newest_first_and_by_type() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let thread = relate(&server, &alice, &room, "m.thread", &root, "t").await;
    let edit = relate(&server, &alice, &room, "m.replace", &root, "e").await;
    let content = json!({ "m.relates_to": { "rel_type": "m.thread", "event_id": root } });
    let other = server.send(&alice, &room, "org.example", content, None).await.expect("sent");
    let all = relations(&server, &alice, &room, &root, RelationsQuery::default()).await;
    assert_eq!(ids(&all.chunk), [other.clone(), edit, thread.clone()]);
    assert_eq!((all.next_batch, all.recursion_depth), (None, None));
    let typed =
        RelationsQuery { rel_type: Some("m.thread".to_owned()), ..RelationsQuery::default() };
    let found = relations(&server, &alice, &room, &root, typed.clone()).await;
    assert_eq!(ids(&found.chunk), [other.clone(), thread.clone()]);
    let kind = RelationsQuery { event_type: Some("org.example".to_owned()), ..typed.clone() };
    let found = relations(&server, &alice, &room, &root, kind).await;
    assert_eq!(ids(&found.chunk), std::slice::from_ref(&other));
    let forward = RelationsQuery { dir: Direction::Forward, ..typed };
    let found = relations(&server, &alice, &room, &root, forward).await;
    assert_eq!(ids(&found.chunk), [thread, other]);
}

#[tokio::test]
async fn pages_cover_all_relations_once() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let mut said = Vec::new();
    for n in 0..7 {
        said.push(relate(&server, &alice, &room, "m.thread", &root, &n.to_string()).await);
        server.say(&alice, &room, "between").await.expect("sent");
    }
    for rel_type in [None, Some("m.thread".to_owned())] {
        for dir in [Direction::Backward, Direction::Forward] {
            let mut query = RelationsQuery { dir, limit: Some(3), ..RelationsQuery::default() };
            query.rel_type.clone_from(&rel_type);
            let mut all = Vec::new();
            loop {
                let page = relations(&server, &alice, &room, &root, query.clone()).await;
                all.extend(ids(&page.chunk));
                match page.next_batch {
                    Some(next) => query.from = Some(next),
                    None => break,
                }
            }
            if dir == Direction::Backward {
                all.reverse();
            }
            assert_eq!(all, said);
        }
    }
}

#[tokio::test]
async fn relations_of_relations_are_followed() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let root = server.say(&alice, &room, "root").await.expect("sent");
    let reply = relate(&server, &alice, &room, "m.thread", &root, "1").await;
    let reaction = relate(&server, &alice, &room, "m.annotation", &reply, "2").await;
    let deep = relate(&server, &alice, &room, "m.reference", &reaction, "3").await;
    let deeper = relate(&server, &alice, &room, "m.reference", &deep, "4").await;
    let query = RelationsQuery { recurse: true, ..RelationsQuery::default() };
    let found = relations(&server, &alice, &room, &root, query.clone()).await;
    assert_eq!(ids(&found.chunk), [deep, reaction, reply.clone()]);
    assert!(!ids(&found.chunk).contains(&deeper));
    assert_eq!(found.recursion_depth, Some(3));
    let typed = RelationsQuery { rel_type: Some("m.thread".to_owned()), ..query };
    let found = relations(&server, &alice, &room, &root, typed).await;
    assert_eq!(ids(&found.chunk), [reply]);
}

#[tokio::test]
async fn threads_are_given_by_their_newest_reply() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.account("alice").await, server.account("bob").await);
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    let mut roots = Vec::new();
    for n in 0..5 {
        let root = server.say(&alice, &room, &n.to_string()).await.expect("sent");
        relate(&server, &alice, &room, "m.thread", &root, "x").await;
        roots.push(root);
    }
    // The oldest thread becomes the newest.
    relate(&server, &bob, &room, "m.thread", &roots[0], "x").await;
    let expected: Vec<_> = [0, 4, 3, 2, 1].map(|n: usize| roots[n].clone()).into();
    let access = access(&server, &bob, &room).await.expect("joined");
    let mut query = ThreadsQuery { limit: Some(2), ..ThreadsQuery::default() };
    let mut all = Vec::new();
    loop {
        let page = access.threads(&query).await.expect("threads");
        assert!(page.chunk.len() <= 2);
        let events = parsed(&page.chunk);
        assert!(events.iter().all(|e| e["unsigned"]["m.relations"]["m.thread"].is_object()));
        all.extend(ids(&page.chunk));
        match page.next_batch {
            Some(next) => query.from = Some(next),
            None => break,
        }
    }
    assert_eq!(all, expected);
    let mine = ThreadsQuery { participated: true, ..ThreadsQuery::default() };
    assert_eq!(ids(&access.threads(&mine).await.expect("threads").chunk), [roots[0].clone()]);
    let garbage = ThreadsQuery { from: Some("x".to_owned()), ..ThreadsQuery::default() };
    assert!(matches!(access.threads(&garbage).await, Err(RoomsError::Invalid(_))));
}
