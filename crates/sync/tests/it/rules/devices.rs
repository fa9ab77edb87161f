//! Device lists that have to be looked up again, and key counts.

use blaupause_rooms::MembershipAction;
use serde_json::{Value, json};

use super::world::World;

fn changed(answer: &Value) -> Vec<&str> {
    of(answer, "changed")
}

fn left(answer: &Value) -> Vec<&str> {
    of(answer, "left")
}

fn of<'a>(answer: &'a Value, what: &str) -> Vec<&'a str> {
    let users = answer["device_lists"][what].as_array().map(Vec::as_slice).unwrap_or_default();
    users.iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn new_devices_are_told_to_those_who_share_a_room() {
    let world = World::new().await;
    let (alice, bob, eve) =
        (world.person("alice").await, world.person("bob").await, world.person("eve").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let (first, first_eve) = (world.first(&alice).await, world.first(&eve).await);
    world.e2ee.touch_devices(&bob).await.expect("noted");
    let answer = world.next(&alice, &first).await;
    assert_eq!(changed(&answer), [bob.as_str()]);
    assert!(changed(&world.next(&eve, &first_eve).await).is_empty());
    assert!(changed(&world.next(&alice, &answer).await).is_empty());
}

#[tokio::test]
async fn who_comes_is_changed_and_who_shares_no_room_any_more_has_left() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let one = world.server.public_room(&alice).await;
    let two = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    world.server.join(&bob, &one).await.expect("public");
    world.server.join(&bob, &two).await.expect("public");
    let came = world.next(&alice, &first).await;
    assert_eq!((changed(&came), left(&came)), (vec![bob.as_str()], vec![]));
    world.server.leave(&bob, &one).await.expect("left");
    let still = world.next(&alice, &came).await;
    assert_eq!((changed(&still), left(&still)), (vec![], vec![]));
    world.server.leave(&bob, &two).await.expect("left");
    let gone = world.next(&alice, &still).await;
    assert_eq!((changed(&gone), left(&gone)), (vec![], vec![bob.as_str()]));
    // Tokens say the same as answers did.
    let from = first["next_batch"].as_str().expect("a token");
    let to = came["next_batch"].as_str().expect("a token");
    let changes = world.sync.key_changes(&alice, from, to).await.expect("tokens of ours");
    assert!(changes.left.is_empty());
}

#[tokio::test]
async fn a_new_name_is_no_new_device() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let first = world.first(&alice).await;
    let renamed = json!({ "membership": "join", "displayname": "Bobby" });
    world.server.set(&bob, &room, "m.room.member", bob.as_str(), renamed).await.expect("set");
    let answer = world.next(&alice, &first).await;
    assert_eq!((changed(&answer), left(&answer)), (vec![], vec![]));
}

#[tokio::test]
async fn members_of_a_room_entered_are_changed_and_of_a_room_left_have_left() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    let first = world.first(&bob).await;
    world.server.join(&bob, &room).await.expect("public");
    let inside = world.next(&bob, &first).await;
    assert_eq!(changed(&inside), [alice.as_str(), bob.as_str()]);
    world.server.leave(&bob, &room).await.expect("left");
    let outside = world.next(&bob, &inside).await;
    assert_eq!((changed(&outside), left(&outside)), (vec![], vec![alice.as_str()]));
}

#[tokio::test]
async fn a_declined_invitation_tells_of_nobody_who_left() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.private_room(&alice).await;
    let invite = async || {
        let invited = world.server.act(&alice, MembershipAction::Invite, &bob, &room).await;
        invited.expect("invited");
    };
    invite().await;
    world.server.join(&bob, &room).await.expect("invited");
    let (inside, alice_then) = (world.first(&bob).await, world.first(&alice).await);
    world.server.leave(&bob, &room).await.expect("left");
    let outside = world.next(&bob, &inside).await;
    assert_eq!(left(&outside), [alice.as_str()]);
    let alice_then = world.next(&alice, &alice_then).await;
    assert_eq!(left(&alice_then), [bob.as_str()]);
    invite().await;
    let invited = world.next(&bob, &outside).await;
    world.server.leave(&bob, &room).await.expect("declined");
    let declined = world.next(&bob, &invited).await;
    assert!(left(&declined).is_empty(), "{declined}");
    assert!(left(&world.next(&alice, &alice_then).await).is_empty());
    let token = |answer: &Value| answer["next_batch"].as_str().expect("a token").to_owned();
    let (from, to) = (token(&outside), token(&declined));
    let changes = world.sync.key_changes(&bob, &from, &to).await.expect("tokens of ours");
    assert!(changes.left.is_empty());
}

#[tokio::test]
async fn sliding_sync_says_the_same_of_rooms_out_of_every_window() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let body = json!({ "extensions": { "e2ee": { "enabled": true } } });
    let first = world.slide(&alice, None, &body).await.expect("starts");
    world.server.leave(&bob, &room).await.expect("left");
    let next = world.slide(&alice, super::world::pos(&first), &body).await.expect("known");
    assert_eq!(next["extensions"]["e2ee"]["device_lists"]["left"], json!([bob.id]));
}

#[tokio::test]
async fn key_counts_are_in_every_answer() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let first = world.first(&alice).await;
    assert_eq!(first["device_one_time_keys_count"]["signed_curve25519"], 0);
    assert_eq!(first["device_unused_fallback_key_types"], json!([]));
}
