use blaupause_data::{
    Member, Write,
    rows::{MemberRow, RoomMember, UserRoom, UserRoomRow},
};
use blaupause_graph::EventNo;
use ruma::{OwnedUserId, RoomId, UserId, room_id, user_id};

use super::{World, cheap};
use crate::{SearchUsers, Settings};

/// As if the user had joined, with a name of their own in the room.
async fn join(world: &World, user: &UserId, room: &RoomId, name: &str) {
    let parts = world.data.parts();
    let mut write = Write::new(parts.room(room));
    let member = RoomMember {
        user_id: user.to_owned(),
        no: EventNo(1),
        display_name: Some(name.to_owned()),
        avatar_url: None,
    };
    write.put::<MemberRow>(parts.room(room), &(Member::Join as u8, parts.user(user)), &member);
    let mine = UserRoom {
        room_id: room.to_owned(),
        membership: Member::Join,
        entered: None,
        no: Some(EventNo(1)),
        sender: user.to_owned(),
        forgotten: false,
        was_joined: true,
        stripped: Vec::new(),
    };
    write.put::<UserRoomRow>(parts.user(user), &parts.room(room), &mine);
    world.data.commit(write).await.expect("memory writes");
}

async fn search(world: &World, asking: &UserId, term: &str) -> Vec<OwnedUserId> {
    let search = SearchUsers { asking, term, limit: 10, public_rooms: Vec::new() };
    let found = world.accounts.search_users(search).await.expect("memory reads");
    found.users.into_iter().map(|user| user.user_id).collect()
}

#[tokio::test]
async fn only_people_one_shares_a_room_with_are_found() {
    let world = World::new().await;
    let (alice, bob, carl) =
        (world.user("alice").await, world.user("bob").await, world.user("carl").await);
    let room = room_id!("!r:a.example");
    join(&world, &alice, room, "alice").await;
    join(&world, &bob, room, "nickname").await;
    let remote = user_id!("@bobby:b.example");
    join(&world, remote, room, "Bobby").await;
    assert_eq!(search(&world, &alice, "bob").await, [bob.clone(), remote.to_owned()]);
    assert!(search(&world, &alice, "alice").await.is_empty(), "they know that they are there");
    assert!(search(&world, &alice, "nickname").await.is_empty());
    assert!(search(&world, &alice, "carl").await.is_empty());
    assert!(search(&world, &carl, "bob").await.is_empty());
    assert!(search(&world, &alice, "").await.is_empty());
    let public_rooms = vec![room.to_owned()];
    // In a public room they are found by everybody, by themselves, too.
    for asking in [&carl, &bob] {
        let public_rooms = public_rooms.clone();
        let search = SearchUsers { asking, term: "@BOB:a.example", limit: 10, public_rooms };
        let found = world.accounts.search_users(search).await.expect("memory reads");
        assert_eq!(found.users[0].user_id, bob);
    }
}

#[tokio::test]
async fn everybody_is_found_if_the_operator_allows_it() {
    let world = World::with(Settings { search_all_users: true, ..cheap() }).await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    assert_eq!(search(&world, &alice, "bo").await, std::slice::from_ref(&bob));
    assert!(search(&world, &alice, "alice").await.is_empty());
    world.accounts.deactivate(&bob, false).await.expect("memory writes");
    assert!(search(&world, &alice, "bo").await.is_empty());
}

#[tokio::test]
async fn a_search_says_whether_there_were_more() {
    let world = World::with(Settings { search_all_users: true, ..cheap() }).await;
    let alice = world.user("alice").await;
    for name in ["bob1", "bob2", "bob3"] {
        world.user(name).await;
    }
    let find = |limit| SearchUsers { asking: &alice, term: "bob", limit, public_rooms: Vec::new() };
    let found = world.accounts.search_users(find(2)).await.expect("memory reads");
    assert_eq!((found.users.len(), found.limited), (2, true));
    let found = world.accounts.search_users(find(3)).await.expect("memory reads");
    assert_eq!((found.users.len(), found.limited), (3, false));
}
