use blaupause_rooms::{CreateRoom, DirectoryQuery, Report, Reported, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{EventId, RoomId, directory::RoomTypeFilter};
use serde_json::json;

async fn published(server: &TestServer, name: &str, kind: Option<&str>) -> ruma::OwnedRoomId {
    let mut request = CreateRoom::new(server.user("alice"));
    request.published = true;
    request.name = Some(name.to_owned());
    if let Some(kind) = kind {
        request.creation_content.insert("type".to_owned(), json!(kind));
    }
    server.rooms.create(request).await.expect("a room")
}

#[tokio::test]
async fn published_rooms_are_found_the_largest_first() {
    let server = TestServer::new().await;
    let small = published(&server, "Small", None).await;
    let large = published(&server, "Large", None).await;
    server.private_room(&server.user("alice")).await;
    server.join(&server.user("bob"), &large).await.expect("public");
    let page = server.rooms.published(&DirectoryQuery::default()).await.expect("reads");
    let rooms: Vec<_> = page.rooms.iter().map(|room| room.room_id.clone()).collect();
    assert_eq!(rooms, [large, small]);
    assert_eq!((page.total, page.next, page.previous), (2, None, None));
    assert_eq!(page.rooms[0].name.as_deref(), Some("Large"));
    assert_eq!(u64::from(page.rooms[0].num_joined_members), 2);
}

#[tokio::test]
async fn pages_go_forward_and_back() {
    let server = TestServer::new().await;
    for n in 0..7 {
        published(&server, &n.to_string(), None).await;
    }
    let mut query = DirectoryQuery { limit: Some(3), ..DirectoryQuery::default() };
    let mut seen = Vec::new();
    let mut last = None;
    loop {
        let page = server.rooms.published(&query).await.expect("reads");
        seen.extend(page.rooms.iter().map(|room| room.room_id.clone()));
        query.since = page.next.clone();
        last = page.previous.or(last);
        if page.next.is_none() {
            break;
        }
    }
    let mut all = seen.clone();
    all.sort();
    all.dedup();
    assert_eq!((seen.len(), all.len()), (7, 7));
    query.since = last;
    let page = server.rooms.published(&query).await.expect("reads");
    let back: Vec<_> = page.rooms.iter().map(|room| room.room_id.clone()).collect();
    assert_eq!(back, seen[3..6]);
    query.since = Some("nonsense".to_owned());
    assert!(matches!(server.rooms.published(&query).await, Err(RoomsError::Invalid(_))));
}

#[tokio::test]
async fn filters_look_at_words_and_kinds() {
    let server = TestServer::new().await;
    let room = published(&server, "Tea House", None).await;
    let space = published(&server, "All of Tea", Some("m.space")).await;
    published(&server, "Coffee", None).await;
    let find = async |term: Option<&str>, kinds: Vec<RoomTypeFilter>| {
        let mut query = DirectoryQuery::default();
        query.filter.generic_search_term = term.map(str::to_owned);
        query.filter.room_types = kinds;
        let page = server.rooms.published(&query).await.expect("reads");
        page.rooms.into_iter().map(|room| room.room_id).collect::<Vec<_>>()
    };
    assert_eq!(find(Some("tEA"), vec![]).await.len(), 2);
    assert_eq!(find(Some("tea"), vec![RoomTypeFilter::Space]).await, [space]);
    assert_eq!(find(Some("tea"), vec![RoomTypeFilter::Default]).await, [room]);
    assert!(find(Some("milk"), vec![]).await.is_empty());
}

#[tokio::test]
async fn only_people_with_power_publish() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.public_room(&alice).await;
    let done = server.rooms.publish(&bob, &room, true).await;
    assert!(matches!(done, Err(RoomsError::Forbidden(_))));
    server.join(&bob, &room).await.expect("public");
    let done = server.rooms.publish(&bob, &room, true).await;
    assert!(matches!(done, Err(RoomsError::Forbidden(_))));
    server.rooms.publish(&alice, &room, true).await.expect("the creator");
    assert!(server.rooms.is_published(&room).await.expect("known"));
    server.rooms.publish(&alice, &room, false).await.expect("the creator");
    assert!(!server.rooms.is_published(&room).await.expect("known"));
    server.rooms.publish_as_admin(&bob, &room, true).await.expect("the directory is the server's");
    assert!(server.rooms.is_published(&room).await.expect("known"));
    let unknown = RoomId::parse("!nosuch:example.org").expect("a room id");
    let done = server.rooms.publish(&alice, &unknown, true).await;
    assert!(matches!(done, Err(RoomsError::RoomUnknown)));
}

#[tokio::test]
async fn events_are_reported_by_those_who_can_see_them() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    let event = server.say(&alice, &room, "x").await.expect("sent");
    let report = |reporter: &ruma::UserId, event| {
        let about = Reported::Event { room: room.clone(), event };
        let reason = Some("bad".to_owned());
        server.rooms.report(Report { reporter: reporter.to_owned(), about, reason, score: None })
    };
    report(&alice, event.clone()).await.expect("kept");
    assert!(matches!(report(&bob, event).await, Err(RoomsError::EventUnknown)));
    let unknown = EventId::parse("$nosuch").expect("an event id");
    assert!(matches!(report(&alice, unknown).await, Err(RoomsError::EventUnknown)));
    use blaupause_rooms::rows::ReportRow;
    let kept = server.data.list::<ReportRow>(blaupause_data::DIRECTORY, &(), 9).await;
    assert_eq!(kept.expect("reads").rows.len(), 1);
}
