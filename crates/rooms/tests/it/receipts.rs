//! How far people have read, and who types.

use std::time::Duration;

use blaupause_data::{Place, StreamPos};
use blaupause_rooms::{NewReceipt, ReceiptKind, RoomsError};
use blaupause_testkit::TestServer;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId, events::receipt::ReceiptThread,
};
use serde_json::{Value, json};

use crate::{bundles::relate, reading::access};

struct Room {
    server: TestServer,
    alice: OwnedUserId,
    bob: OwnedUserId,
    room: OwnedRoomId,
}

impl Room {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let (alice, bob) = (server.account("alice").await, server.account("bob").await);
        let room = server.public_room(&alice).await;
        server.join(&bob, &room).await.expect("public");
        Self { server, alice, bob, room }
    }

    async fn say(&self) -> OwnedEventId {
        self.server.say(&self.alice, &self.room, "x").await.expect("sent")
    }

    async fn read(
        &self,
        user: &UserId,
        kind: ReceiptKind,
        event: &EventId,
        thread: ReceiptThread,
    ) -> Result<(), RoomsError> {
        let access = access(&self.server, user, &self.room).await?;
        access.set_receipts(&[NewReceipt { kind, event: event.to_owned(), thread }]).await
    }

    async fn since(&self, user: &UserId, since: StreamPos) -> Value {
        let until = self.server.data.position();
        let content = self.server.rooms.receipts_since(user, &self.room, since, until).await;
        serde_json::to_value(content.expect("reads")).expect("JSON")
    }

    fn place(&self, event: &EventId, timeline: &[std::sync::Arc<blaupause_data::Event>]) -> Place {
        let event = timeline.iter().find(|e| e.stored.event_id == event).expect("said");
        event.place.expect("in the timeline")
    }
}

#[tokio::test]
async fn a_receipt_moves_forward_only() {
    let room = Room::new().await;
    let (first, second) = (room.say().await, room.say().await);
    room.read(&room.bob, ReceiptKind::Read, &second, ReceiptThread::Unthreaded).await.expect("set");
    let start = room.server.data.position();
    room.read(&room.bob, ReceiptKind::Read, &first, ReceiptThread::Unthreaded).await.expect("ok");
    assert_eq!(room.server.data.position(), start, "nothing was written");
    let ts = blaupause_testkit::START_MS;
    let all = json!({ second.as_str(): { "m.read": { room.bob.as_str(): { "ts": ts } } } });
    assert_eq!(room.since(&room.alice, StreamPos(0)).await, all);
    let third = room.say().await;
    room.read(&room.bob, ReceiptKind::Read, &third, ReceiptThread::Unthreaded).await.expect("set");
    let moved = json!({ third.as_str(): { "m.read": { room.bob.as_str(): { "ts": ts } } } });
    assert_eq!(room.since(&room.alice, start).await, moved);
    assert_eq!(room.since(&room.alice, StreamPos(0)).await, moved, "the old one is gone");
    assert_eq!(room.since(&room.alice, room.server.data.position()).await, Value::Null);
}

#[tokio::test]
async fn a_private_receipt_is_only_for_its_owner() {
    let room = Room::new().await;
    let event = room.say().await;
    let thread = ReceiptThread::Unthreaded;
    room.read(&room.bob, ReceiptKind::Private, &event, thread).await.expect("set");
    assert_eq!(room.since(&room.alice, StreamPos(0)).await, Value::Null);
    let own = room.since(&room.bob, StreamPos(0)).await;
    assert!(own[event.as_str()]["m.read.private"][room.bob.as_str()].is_object());
    let read = room.server.rooms.read_up_to(&room.bob, &room.room).await.expect("reads");
    let timeline = room.server.timeline(&room.room).await;
    assert_eq!(read.main, room.place(&event, &timeline));
}

#[tokio::test]
async fn receipts_of_threads_stand_beside_each_other() {
    let room = Room::new().await;
    let root = room.say().await;
    let reply = relate(&room.server, &room.alice, &room.room, "m.thread", &root, "r").await;
    let reaction = relate(&room.server, &room.alice, &room.room, "m.annotation", &reply, "+").await;
    let after = room.say().await;
    let in_thread = ReceiptThread::Thread(root.clone());
    let read = async |event: &EventId, thread: &ReceiptThread| {
        room.read(&room.bob, ReceiptKind::Read, event, thread.clone()).await
    };
    read(&after, &ReceiptThread::Main).await.expect("in the main timeline");
    read(&root, &in_thread).await.expect("the root belongs to its thread");
    read(&reply, &in_thread).await.expect("a reply");
    read(&reaction, &in_thread).await.expect("relates to a reply");
    for (event, thread) in [
        (&reply, &ReceiptThread::Main),
        (&after, &in_thread),
        (&reply, &ReceiptThread::Thread(after.clone())),
    ] {
        assert!(matches!(read(event, thread).await, Err(RoomsError::Invalid(_))));
    }
    let timeline = room.server.timeline(&room.room).await;
    let upto = room.server.rooms.read_up_to(&room.bob, &room.room).await.expect("reads");
    assert_eq!(upto.main, room.place(&after, &timeline));
    assert_eq!(upto.threads[&root], room.place(&reaction, &timeline));
    assert!(upto.everywhere < room.place(&root, &timeline), "only the join");
}

#[tokio::test]
async fn receipts_are_for_members_and_events_of_the_room() {
    let room = Room::new().await;
    let event = room.say().await;
    let other = room.server.private_room(&room.alice).await;
    let foreign = room.server.say(&room.alice, &other, "x").await.expect("sent");
    let thread = ReceiptThread::Unthreaded;
    let refused = room.read(&room.alice, ReceiptKind::Read, &foreign, thread.clone()).await;
    assert!(matches!(refused, Err(RoomsError::EventUnknown)));
    room.server.leave(&room.bob, &room.room).await.expect("left");
    let refused = room.read(&room.bob, ReceiptKind::Read, &event, thread).await;
    assert!(matches!(refused, Err(RoomsError::NotJoined)));
}

#[tokio::test]
async fn the_fully_read_marker_is_account_data_and_does_not_go_back() {
    let room = Room::new().await;
    let (first, second) = (room.say().await, room.say().await);
    let access = access(&room.server, &room.bob, &room.room).await.expect("joined");
    for event in [&second, &first] {
        access.set_fully_read(event).await.expect("set");
        let accounts = &room.server.accounts;
        let data = accounts.account_data(&room.bob, Some(&room.room), "m.fully_read").await;
        let data = data.expect("reads").expect("set");
        assert_eq!(data.get(), json!({ "event_id": second }).to_string());
    }
}

#[tokio::test]
async fn who_types_is_seen_until_they_stop() {
    let room = Room::new().await;
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&seen);
    room.server.data.feed().follow_passing(Box::new(move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }));
    let access = access(&room.server, &room.bob, &room.room).await.expect("joined");
    let typing = || room.server.rooms.typing(&room.room);
    let told = || seen.load(std::sync::atomic::Ordering::SeqCst);
    access.set_typing(Some(Duration::from_secs(30))).expect("joined");
    access.set_typing(Some(Duration::from_secs(30))).expect("joined");
    assert_eq!((typing(), told()), (vec![room.bob.clone()], 1));
    access.set_typing(None).expect("joined");
    assert_eq!((typing(), told()), (vec![], 2));
    access.set_typing(Some(Duration::from_secs(u64::MAX))).expect("joined");
    room.server.data.env().advance(Duration::from_secs(119));
    assert_eq!(typing(), std::slice::from_ref(&room.bob));
    room.server.data.env().advance(Duration::from_secs(1));
    assert_eq!(typing(), Vec::<OwnedUserId>::new(), "120 seconds at most");
}

#[tokio::test]
async fn only_members_are_seen_typing() {
    let room = Room::new().await;
    room.server.leave(&room.bob, &room.room).await.expect("left");
    let access = access(&room.server, &room.bob, &room.room).await.expect("has a history");
    let refused = access.set_typing(Some(Duration::from_secs(1)));
    assert!(matches!(refused, Err(RoomsError::NotJoined)));
}
