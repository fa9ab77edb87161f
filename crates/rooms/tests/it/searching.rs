//! Search, and the index that it builds.

use blaupause_rooms::{Reader, RoomsError, SearchQuery, SearchResults, rows::SearchPageRow};
use blaupause_testkit::TestServer;
use ruma::{OwnedEventId, OwnedRoomId, UserId, api::client::filter::RoomEventFilter};
use serde_json::json;

use crate::reading::{parsed, visibility};

fn query(term: &str) -> SearchQuery {
    SearchQuery {
        term: term.to_owned(),
        keys: Vec::new(),
        filter: RoomEventFilter::default(),
        by_rank: false,
        context: None,
        include_state: false,
        next_batch: None,
    }
}

async fn search(
    server: &TestServer,
    user: &UserId,
    query: &SearchQuery,
) -> Result<SearchResults, RoomsError> {
    server.rooms.search(&Reader::new(user.to_owned(), None), query).await
}

fn bodies(found: &SearchResults) -> Vec<String> {
    let bodies = found.results.iter().map(|result| {
        let json = parsed(std::slice::from_ref(&result.json)).remove(0);
        json["content"]["body"].as_str().unwrap_or_default().to_owned()
    });
    bodies.collect()
}

#[tokio::test]
async fn all_words_have_to_occur_in_any_case() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    let other = server.private_room(&alice).await;
    for text in ["Green TEA", "green", "tea, green tea"] {
        server.data.env().advance(std::time::Duration::from_secs(1));
        server.say(&alice, &room, text).await.expect("sent");
    }
    server.say(&alice, &other, "tea is green there too").await.expect("sent");
    let mut here = query("green tea");
    here.filter.rooms = Some(vec![room.clone()]);
    let found = search(&server, &alice, &here).await.expect("found");
    assert_eq!(bodies(&found), ["tea, green tea", "Green TEA"]);
    assert_eq!((found.count, found.highlights), (2, vec!["green".to_owned(), "tea".to_owned()]));
    let everywhere = search(&server, &alice, &query("green tea")).await.expect("found");
    assert_eq!(everywhere.count, 3);
    let ranked = SearchQuery { by_rank: true, ..here };
    let found = search(&server, &alice, &ranked).await.expect("found");
    assert_eq!(bodies(&found), ["tea, green tea", "Green TEA"]);
    assert_eq!(search(&server, &bob, &query("tea")).await.expect("nothing").count, 0);
}

#[tokio::test]
async fn only_what_one_may_see_is_found() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    visibility(&server, &alice, &room, "joined").await;
    server.say(&alice, &room, "secret before").await.expect("sent");
    server.join(&bob, &room).await.expect("public");
    server.say(&alice, &room, "secret between").await.expect("sent");
    server.leave(&bob, &room).await.expect("left");
    server.say(&alice, &room, "secret after").await.expect("sent");
    let found = search(&server, &bob, &query("secret")).await.expect("found");
    assert_eq!(bodies(&found), ["secret between"]);
}

#[tokio::test]
async fn pages_context_and_state_go_with_hits() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for n in 0..5 {
        server.data.env().advance(std::time::Duration::from_secs(1));
        server.say(&alice, &room, &format!("hit {n}")).await.expect("sent");
    }
    let mut wanted = query("hit");
    wanted.filter.limit = Some(2u32.into());
    wanted.context = Some((1, 1));
    wanted.include_state = true;
    let mut all = Vec::new();
    loop {
        let page = search(&server, &alice, &wanted).await.expect("found");
        // The last page is the one without hits.
        assert_eq!(page.results.is_empty(), page.next_batch.is_none());
        assert!(page.results.is_empty() || page.state[&room].len() > 5);
        assert!(page.results.iter().all(|result| result.context.is_some()));
        all.extend(bodies(&page));
        match page.next_batch {
            Some(next) => wanted.next_batch = Some(next),
            None => break,
        }
    }
    assert_eq!(all, ["hit 4", "hit 3", "hit 2", "hit 1", "hit 0"]);
}

#[tokio::test]
async fn nothing_to_search_for_is_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    for bad in ["", "  ", &"x".repeat(2_000)] {
        let refused = search(&server, &alice, &query(bad)).await;
        assert!(matches!(refused, Err(RoomsError::Invalid(_))), "{bad}");
    }
    let garbage = SearchQuery { next_batch: Some("x".to_owned()), ..query("x") };
    assert!(matches!(search(&server, &alice, &garbage).await, Err(RoomsError::Invalid(_))));
}

#[tokio::test]
async fn names_and_topics_are_searched_where_asked() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "tea" })).await.expect("set");
    server.say(&alice, &room, "tea").await.expect("sent");
    let found = search(&server, &alice, &query("tea")).await.expect("found");
    assert_eq!(found.count, 2);
    let topics = SearchQuery { keys: vec!["content.topic".to_owned()], ..query("tea") };
    assert_eq!(search(&server, &alice, &topics).await.expect("found").count, 1);
}

/// A room where much was said, one thing only once.
async fn talkative_room(server: &TestServer, alice: &UserId) -> (OwnedRoomId, OwnedEventId) {
    let room = server.private_room(alice).await;
    let rare = server.say(alice, &room, "the Zuwendungsbescheid").await.expect("sent");
    for n in 0..600 {
        server.say(alice, &room, &format!("message number {n}")).await.expect("sent");
    }
    (room, rare)
}

#[tokio::test]
async fn what_was_said_long_ago_is_found_and_costs_no_more_reads_than_what_is_new() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let (room, _) = talkative_room(&server, &alice).await;
    let found = search(&server, &alice, &query("bescheid")).await.expect("found");
    assert_eq!(bodies(&found), ["the Zuwendungsbescheid"]);
    // The index is there now; what came after it is found too.
    server.say(&alice, &room, "another bescheid").await.expect("sent");
    let again = query("bescheid");
    let (found, reads, commits) = server.round_trips(search(&server, &alice, &again)).await;
    assert_eq!(found.expect("found").count, 2);
    assert!(reads <= 10 && commits == 0, "{reads} reads, {commits} commits");
    let found = search(&server, &alice, &query("number 5")).await.expect("found");
    assert_eq!(found.count, 195, "every number with a 5");
}

#[tokio::test]
async fn words_of_redacted_messages_leave_the_index() {
    let server = TestServer::new().await;
    let alice = server.user("alice");
    let (room, rare) = talkative_room(&server, &alice).await;
    let part = server.data.parts().room(&room);
    let wanted = query("zuwendungsbescheid");
    assert_eq!(search(&server, &alice, &wanted).await.expect("found").count, 1);
    let stored = async || {
        let pages = server.data.list::<SearchPageRow>(part, &(), 10).await.expect("pages").rows;
        pages.into_iter().map(|(_, page)| page.value.text).collect::<String>()
    };
    assert!(stored().await.contains("zuwendungsbescheid"));
    server.redact(&alice, &room, &rare).await.expect("redacted");
    assert!(!stored().await.contains("zuwendungsbescheid"), "gone with the content");
    assert_eq!(search(&server, &alice, &wanted).await.expect("nothing").count, 0);
    assert!(!stored().await.contains("zuwendungsbescheid"), "and not indexed again");
    assert!(stored().await.contains("message"), "the page was made anew");
}
