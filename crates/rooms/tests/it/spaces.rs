//! Trees of spaces, and rooms in a few words.

use blaupause_rooms::{CreateRoom, Hierarchy, HierarchyQuery, Preset, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Map, json};

use crate::reading::{parsed, visibility};

async fn space(server: &TestServer, user: &UserId) -> OwnedRoomId {
    let mut request = CreateRoom::new(user.to_owned());
    request.preset = Some(Preset::Public);
    let mut content = Map::new();
    content.insert("type".to_owned(), json!("m.space"));
    request.creation_content = content;
    server.rooms.create(request).await.expect("a space")
}

async fn link(server: &TestServer, user: &UserId, space: &RoomId, room: &RoomId, suggested: bool) {
    let content = json!({ "via": ["example.org"], "suggested": suggested });
    server.set(user, space, "m.space.child", room.as_str(), content).await.expect("set");
}

fn ids(found: &Hierarchy) -> Vec<&RoomId> {
    found.rooms.iter().map(|(summary, _)| &*summary.room_id).collect()
}

#[tokio::test]
async fn a_tree_is_walked_depth_first_as_far_as_one_may_know() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let top = space(&server, &alice).await;
    let sub = space(&server, &alice).await;
    let open = server.public_room(&alice).await;
    let closed = server.private_room(&alice).await;
    let inner = server.public_room(&alice).await;
    link(&server, &alice, &top, &sub, false).await;
    server.data.env().advance(std::time::Duration::from_secs(1));
    link(&server, &alice, &top, &closed, true).await;
    server.data.env().advance(std::time::Duration::from_secs(1));
    link(&server, &alice, &top, &open, true).await;
    link(&server, &alice, &sub, &inner, false).await;
    // A loop, an unknown room, and a link that was taken back.
    link(&server, &alice, &sub, &top, false).await;
    link(&server, &alice, &top, "!unknown:example.org".try_into().expect("an id"), false).await;
    server.set(&alice, &sub, "m.space.child", open.as_str(), json!({})).await.expect("set");
    let all = HierarchyQuery::default();
    let walk = async |user: &UserId, query: &HierarchyQuery| {
        server.rooms.hierarchy(user, &top, query).await.expect("a tree")
    };
    let found = walk(&bob, &all).await;
    assert_eq!(ids(&found), [&*top, &sub, &inner, &open]);
    assert_eq!(found.rooms[1].1.len(), 2, "the valid links of a space are told");
    assert_eq!(parsed(&found.rooms[0].1)[0]["state_key"], sub.as_str());
    assert_eq!(ids(&walk(&alice, &all).await), [&*top, &sub, &inner, &closed, &open]);
    let suggested = HierarchyQuery { suggested_only: true, ..all.clone() };
    assert_eq!(ids(&walk(&bob, &suggested).await), [&*top, &open]);
    let flat = HierarchyQuery { max_depth: Some(1), ..all.clone() };
    assert_eq!(ids(&walk(&bob, &flat).await), [&*top, &sub, &open]);
    let first = HierarchyQuery { limit: Some(3), ..all.clone() };
    let page = walk(&bob, &first).await;
    assert_eq!(ids(&page), [&*top, &sub, &inner]);
    let rest = HierarchyQuery { from: page.next_batch, ..all };
    let page = walk(&bob, &rest).await;
    assert_eq!((ids(&page), &page.next_batch), (vec![&*open], &None));
    let changed = HierarchyQuery { suggested_only: true, ..rest };
    let refused = server.rooms.hierarchy(&bob, &top, &changed).await;
    assert!(matches!(refused, Err(RoomsError::Invalid(_))));
}

#[tokio::test]
async fn a_closed_space_is_not_shown() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let room = server.private_room(&alice).await;
    let refused = server.rooms.hierarchy(&bob, &room, &HierarchyQuery::default()).await;
    assert!(matches!(refused, Err(RoomsError::NotJoined)));
}

#[tokio::test]
async fn a_summary_is_for_those_who_may_know() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let open = server.public_room(&alice).await;
    let closed = server.private_room(&alice).await;
    server.set(&alice, &open, "m.room.name", "", json!({ "name": "Tea" })).await.expect("set");
    let summary = server.rooms.summary(None, &open).await.expect("public");
    assert_eq!(summary.summary.name.as_deref(), Some("Tea"));
    assert_eq!(summary.membership, None);
    let mine = server.rooms.summary(Some(&alice), &closed).await.expect("joined");
    assert_eq!(mine.membership, Some(blaupause_data::Member::Join));
    for user in [None, Some(&*bob)] {
        let refused = server.rooms.summary(user, &closed).await;
        assert!(matches!(refused, Err(RoomsError::NotFound(_))));
    }
    visibility(&server, &alice, &closed, "world_readable").await;
    server.rooms.summary(None, &closed).await.expect("world readable");
}

#[tokio::test]
async fn a_restricted_room_is_known_to_the_members_of_its_space() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let top = space(&server, &alice).await;
    let room = server.private_room(&alice).await;
    let rule = json!({
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": top }]
    });
    server.set(&alice, &room, "m.room.join_rules", "", rule).await.expect("set");
    assert!(server.rooms.summary(Some(&bob), &room).await.is_err());
    server.join(&bob, &top).await.expect("public");
    server.rooms.summary(Some(&bob), &room).await.expect("a member of the space");
}
