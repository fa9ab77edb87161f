//! The durable inbox: who may put something into it, and what a crash does to it.

use blaupause_data::{DIRECTORY, Write};
use ruma::{RoomVersionId, events::room::member::MembershipState};
use serde_json::json;

use super::world::{Forged, Server, Two, raw};
use crate::rows::{InboxRoomRow, InboxRow};

async fn waiting(server: &Server, room: &ruma::RoomId) -> usize {
    let part = server.data.parts().room(room);
    server.data.list::<InboxRow>(part, &(), 1_000).await.expect("reads").rows.len()
}

#[tokio::test]
async fn what_was_staged_is_judged_after_a_crash() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = two.b.say(&two.bob, &two.room, "hello").await;
    let pdu = two.b.pdu(&two.room, &said).await;
    two.a.rooms.stage(two.b.name(), vec![pdu.clone()]).await.expect("staged");
    assert_eq!(waiting(&two.a, &two.room).await, 1);
    // The process ends, another one starts on the same store.
    let a = two.a.again(&two.network);
    a.rooms.intake().await;
    assert_eq!(a.timeline(&two.room).await.last(), Some(&said));
    assert_eq!(waiting(&a, &two.room).await, 0);
    let rooms = a.data.list::<InboxRoomRow>(DIRECTORY, &(), 10).await.expect("reads");
    assert!(rooms.rows.is_empty(), "nothing is left to be looked for");
    // The transaction is sent again: nothing is double.
    let before = a.timeline(&two.room).await;
    two.b.deliver(&a, vec![pdu]).await;
    assert_eq!(a.timeline(&two.room).await, before);
    assert_eq!(waiting(&a, &two.room).await, 0);
}

#[tokio::test]
async fn an_inbox_row_that_outlived_its_event_goes() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = two.b.say(&two.bob, &two.room, "hello").await;
    let pdu = two.b.pdu(&two.room, &said).await;
    two.b.deliver(&two.a, vec![pdu.clone()]).await;
    let part = two.a.data.parts().room(&two.room);
    let mut write = Write::new(part);
    let row = crate::rows::Waiting {
        origin: two.b.name().to_owned(),
        pdu: pdu.get().to_owned(),
        since_ms: 0,
    };
    write.put::<InboxRow>(part, &(blaupause_data::StreamPos(1), 0), &row);
    write.put::<InboxRoomRow>(DIRECTORY, &two.room, &());
    two.a.data.commit(write).await.expect("commits");
    let before = two.a.timeline(&two.room).await;
    two.a.rooms.intake().await;
    assert_eq!(two.a.timeline(&two.room).await, before);
    assert_eq!(waiting(&two.a, &two.room).await, 0);
}

#[tokio::test]
async fn a_server_that_the_room_does_not_admit_puts_nothing_in() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = two.b.say(&two.bob, &two.room, "hello").await;
    let acl = json!({ "allow": ["*"], "deny": ["b.example"] });
    two.a.set(&two.alice, &two.room, "m.room.server_acl", "", acl).await.expect("set");
    let staged = two.b.deliver(&two.a, vec![two.b.pdu(&two.room, &said).await]).await;
    assert!(staged.get(&said).expect("an answer").is_err());
    assert!(two.a.stored(&two.room, &said).await.is_none());
    assert!(!two.a.rooms.acl_allows(&two.room, two.b.name()).await.expect("reads"));
}

#[tokio::test]
async fn events_of_rooms_that_we_are_not_in_are_left_alone() {
    let two = Two::new(RoomVersionId::V12).await;
    let carol = two.a.user("carol");
    let other = two.b.public_room(&two.bob, RoomVersionId::V12).await;
    let said = two.b.say(&two.bob, &other, "a room of our own").await;
    let staged = two.b.deliver(&two.a, vec![two.b.pdu(&other, &said).await]).await;
    assert!(staged.is_empty(), "its id cannot even be computed");
    // All of ours leave; what brings them back is not heard.
    let leave = json!({ "membership": "leave" });
    let alice = two.alice.as_str();
    let left = two.a.set(&two.alice, &two.room, "m.room.member", alice, leave).await;
    two.a.pass_on(&two.b, &two.room, &left.expect("left")).await;
    let content = json!({ "membership": MembershipState::Invite });
    let invite = Forged::state(&two.bob, "m.room.member", carol.as_str(), content);
    let invite = two.b.forge(&two.b, &two.room, invite).await;
    let staged = two.b.deliver(&two.a, vec![invite.to_raw()]).await;
    assert!(staged.values().all(Result::is_err));
    let row = two.a.data.membership(&carol, &two.room).await.expect("reads");
    assert!(row.is_none());
}

#[tokio::test]
async fn what_is_no_event_stops_no_other() {
    let two = Two::new(RoomVersionId::V11).await;
    let said = two.b.say(&two.bob, &two.room, "good").await;
    let pdus = vec![
        raw(&json!("text")),
        raw(&json!(5)),
        raw(&json!({})),
        raw(&json!({ "room_id": two.room })),
        raw(&json!({ "room_id": 5 })),
        two.b.pdu(&two.room, &said).await,
    ];
    let staged = two.b.deliver(&two.a, pdus).await;
    assert_eq!(staged.len(), 1);
    assert_eq!(two.a.timeline(&two.room).await.last(), Some(&said));
}

#[tokio::test]
async fn a_large_transaction_is_taken_in_in_pieces() {
    let two = Two::new(RoomVersionId::V12).await;
    let text = "x".repeat(50_000);
    let mut pdus = Vec::new();
    for _ in 0..40 {
        let said = two.b.say(&two.bob, &two.room, &text).await;
        pdus.push(two.b.pdu(&two.room, &said).await);
    }
    let staged = two.b.deliver(&two.a, pdus).await;
    assert_eq!(staged.values().filter(|answer| answer.is_ok()).count(), 40);
    assert_eq!(waiting(&two.a, &two.room).await, 0);
    assert_eq!(two.a.timeline(&two.room).await.last(), two.b.timeline(&two.room).await.last());
}
