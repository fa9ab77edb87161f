//! Rooms that do not fit into one batch.

use ruma::{RoomVersionId, UserId};
use serde_json::json;

use super::world::{Forged, Two};

/// Members: so many that the rooms' rows need several batches.
const MEMBERS: usize = 1_500;

#[tokio::test]
async fn a_large_room_is_taken_over_in_pieces_and_whole() {
    let two = Two::new(RoomVersionId::V12).await;
    for n in 0..MEMBERS {
        let user = two.a.user(&format!("u{n}"));
        let join = json!({ "membership": "join" });
        let forged = Forged::state(&user, "m.room.member", user.as_str(), join);
        let join = two.a.forge(&two.a, &two.room, forged).await;
        let accepted = two.a.rooms.accept(two.a.name(), &two.room, join.to_raw()).await;
        accepted.expect("public");
    }
    let room = two.a.public_room(&two.alice, RoomVersionId::V12).await;
    assert_ne!(room, two.room);
    // Another server comes in.
    let c = super::world::Server::new("c.example", &two.network).await;
    let carol: &UserId = &c.user("carol");
    c.join_by(&two.a, carol, &two.room).await;
    assert_eq!(c.state(&two.room).await, two.a.state(&two.room).await);
    assert_eq!(c.head(&two.room).await.joined as usize, MEMBERS + 3);
    let said = c.say(carol, &two.room, "hello").await;
    c.pass_on(&two.a, &two.room, &said).await;
    assert_eq!(two.a.timeline(&two.room).await.last(), Some(&said));
}

#[tokio::test]
async fn a_take_over_that_ends_anywhere_is_done_again() {
    let two = Two::new(RoomVersionId::V12).await;
    for n in 0..1_200 {
        let user = two.a.user(&format!("u{n}"));
        let join = json!({ "membership": "join" });
        let forged = Forged::state(&user, "m.room.member", user.as_str(), join);
        let join = two.a.forge(&two.a, &two.room, forged).await;
        two.a.rooms.accept(two.a.name(), &two.room, join.to_raw()).await.expect("public");
    }
    let carol_at = super::world::Server::new("c.example", &two.network).await;
    let carol = carol_at.user("carol");
    let import = carol_at.prepared_join(&two.a, &carol, &two.room).await;
    // Dropped before each of its first batches, as by a crash.
    for pieces in 0..6 {
        let store = carol_at.store.clone();
        let start = store.round_trips().1;
        let c = carol_at.again(&two.network);
        let mut taking = Box::pin(c.rooms.import(import()));
        let until = async {
            while store.round_trips().1 < start + pieces {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = until => {}
            done = &mut taking => done.expect("taken over"),
        }
    }
    let c = carol_at.again(&two.network);
    c.rooms.import(import()).await.expect("taken over");
    assert_eq!(c.state(&two.room).await, two.a.state(&two.room).await);
    assert_eq!(c.head(&two.room).await.joined as usize, 1_203);
}
