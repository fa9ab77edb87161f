//! Members that are told only when the timeline shows them.

use serde_json::{Value, json};

use super::world::{Person, World, joined, keys};

fn lazy(redundant: bool) -> Value {
    let state = json!({ "lazy_load_members": true, "include_redundant_members": redundant });
    json!({ "room": { "state": state } })
}

async fn crowd(world: &World) -> (Person, Vec<Person>, ruma::OwnedRoomId) {
    let reader = world.person("reader").await;
    let room = world.server.public_room(&reader).await;
    let mut others = Vec::new();
    for n in 0..5 {
        let other = world.person(&format!("p{n}")).await;
        world.server.join(&other, &room).await.expect("public");
        others.push(other);
    }
    for n in 0..12 {
        world.server.say(&reader, &room, &n.to_string()).await.expect("said");
    }
    (reader, others, room)
}

fn members(answer: &Value, room: &ruma::RoomId) -> Vec<String> {
    let told = joined(answer, room);
    keys(&told["state"]["events"], "m.room.member").into_iter().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn only_shown_members_and_oneself_are_told_first() {
    let world = World::new().await;
    let (reader, others, room) = crowd(&world).await;
    world.server.say(&others[3], &room, "hello").await.expect("said");
    let answer = world.filtered(&reader, None, lazy(false)).await;
    assert_eq!(members(&answer, &room), [others[3].as_str(), reader.as_str()]);
    let everything = world.first(&reader).await;
    assert_eq!(members(&everything, &room).len(), 6);
}

#[tokio::test]
async fn a_member_is_told_once_unless_wanted_again_and_again() {
    let world = World::new().await;
    let (reader, others, room) = crowd(&world).await;
    for redundant in [false, true] {
        let first = world.filtered(&reader, None, lazy(redundant)).await;
        world.server.say(&others[0], &room, "one").await.expect("said");
        let second = world.filtered(&reader, Some(&first), lazy(redundant)).await;
        assert_eq!(members(&second, &room), [others[0].as_str()]);
        world.server.say(&others[0], &room, "two").await.expect("said");
        let third = world.filtered(&reader, Some(&second), lazy(redundant)).await;
        assert_eq!(members(&third, &room).len(), usize::from(redundant));
        for n in 0..12 {
            world.server.say(&reader, &room, &n.to_string()).await.expect("said");
        }
    }
}

#[tokio::test]
async fn who_asks_again_with_the_same_token_gets_the_same_members() {
    let world = World::new().await;
    let (reader, others, room) = crowd(&world).await;
    let first = world.filtered(&reader, None, lazy(false)).await;
    world.server.say(&others[1], &room, "one").await.expect("said");
    for _ in 0..3 {
        // The answer is lost each time.
        let lost = world.filtered(&reader, Some(&first), lazy(false)).await;
        assert_eq!(members(&lost, &room), [others[1].as_str()]);
    }
    world.server.say(&others[2], &room, "two").await.expect("said");
    let arrived = world.filtered(&reader, Some(&first), lazy(false)).await;
    assert_eq!(members(&arrived, &room), [others[1].as_str(), others[2].as_str()]);
    world.server.say(&others[1], &room, "three").await.expect("said");
    let next = world.filtered(&reader, Some(&arrived), lazy(false)).await;
    assert!(members(&next, &room).is_empty(), "{next}");
}

#[tokio::test]
async fn a_gap_tells_members_who_changed_in_it() {
    let world = World::new().await;
    let (reader, others, room) = crowd(&world).await;
    let first = world.filtered(&reader, None, lazy(false)).await;
    world.server.leave(&others[4], &room).await.expect("left");
    for n in 0..12 {
        world.server.say(&others[0], &room, &n.to_string()).await.expect("said");
    }
    let answer = world.filtered(&reader, Some(&first), lazy(false)).await;
    assert_eq!(members(&answer, &room), [others[0].as_str(), others[4].as_str()]);
}
