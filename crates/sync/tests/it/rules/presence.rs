//! Whose presence an answer tells besides those whose presence changed.

use ruma::{UserId, presence::PresenceState};
use serde_json::Value;

use super::world::World;

/// Who an answer says is there.
fn there(answer: &Value) -> Vec<&str> {
    let events = answer["presence"]["events"].as_array();
    let senders = events.into_iter().flatten().filter_map(|event| event["sender"].as_str());
    senders.collect()
}

impl World {
    fn is_online(&self, user: &UserId) {
        let presence = self.server.accounts.presence();
        presence.set(user, &PresenceState::Online, None).expect("a state");
    }
}

#[tokio::test]
async fn members_are_told_of_who_comes_and_who_comes_of_the_members() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.is_online(&alice);
    world.is_online(&bob);
    let (alice_first, bob_first) = (world.first(&alice).await, world.first(&bob).await);
    assert!(!there(&alice_first).contains(&bob.as_str()), "they share no room");
    world.server.join(&bob, &room).await.expect("public");
    let alice_next = world.next(&alice, &alice_first).await;
    assert_eq!(there(&alice_next), [bob.as_str()]);
    let bob_next = world.next(&bob, &bob_first).await;
    assert_eq!(there(&bob_next), [alice.as_str()]);
    // Once: nothing changes from here on.
    assert!(there(&world.next(&alice, &alice_next).await).is_empty());
    assert!(there(&world.next(&bob, &bob_next).await).is_empty());
}

#[tokio::test]
async fn a_first_answer_tells_of_who_is_there_without_syncing() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let stranger = world.person("stranger").await;
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    world.is_online(&bob);
    world.is_online(&stranger);
    let first = world.first(&alice).await;
    assert_eq!(there(&first), [bob.as_str()]);
}
