use blaupause_notify::{Count, Notify};
use blaupause_rooms::{NewReceipt, Reader, ReceiptKind};
use blaupause_testkit::TestServer;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId, events::receipt::ReceiptThread,
};
use serde_json::{Value, json};

/// A room with three people, of whom Bob reads.
pub struct World {
    pub server: TestServer,
    pub notify: Notify,
    pub alice: OwnedUserId,
    pub bob: OwnedUserId,
    pub carol: OwnedUserId,
    pub room: OwnedRoomId,
}

pub const fn count(notify: u64, highlight: u64) -> Count {
    Count { notify, highlight }
}

impl World {
    pub async fn new() -> Self {
        let world = Self::of_two().await;
        world.server.join(&world.carol, &world.room).await.expect("public");
        world
    }

    /// Without Carol in the room.
    pub async fn of_two() -> Self {
        let server = TestServer::new().await;
        let notify =
            Notify::new(server.data.clone(), server.accounts.clone(), server.rooms.clone());
        let (alice, bob) = (server.account("alice").await, server.account("bob").await);
        let carol = server.account("carol").await;
        let room = server.public_room(&alice).await;
        server.join(&bob, &room).await.expect("public");
        Self { server, notify, alice, bob, carol, room }
    }

    pub async fn send(&self, by: &UserId, kind: &str, content: Value) -> OwnedEventId {
        self.server.send(by, &self.room, kind, content, None).await.expect("sent")
    }

    pub async fn say(&self, by: &UserId, text: &str) -> OwnedEventId {
        self.server.say(by, &self.room, text).await.expect("sent")
    }

    pub async fn reply_in(&self, by: &UserId, root: &EventId) -> OwnedEventId {
        let relates = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": "x", "m.relates_to": relates });
        self.send(by, "m.room.message", content).await
    }

    /// What Bob has not read, threads and all.
    pub async fn unread(&self) -> Count {
        self.notify.counts(&self.bob, &self.room).await.expect("counted").room(false)
    }

    /// What Bob has not read outside of threads, and in one thread.
    pub async fn unread_in(&self, root: &EventId) -> (Count, Count) {
        let counts = self.notify.counts(&self.bob, &self.room).await.expect("counted");
        let thread = counts.threads().find(|(of, _)| *of == root);
        (counts.room(true), thread.map(|(_, count)| *count).unwrap_or_default())
    }

    /// What an action adds to Bob's counts.
    pub async fn adds<T>(&self, action: impl Future<Output = T>) -> Count {
        let before = self.unread().await;
        action.await;
        let after = self.unread().await;
        count(after.notify - before.notify, after.highlight - before.highlight)
    }

    pub async fn read(&self, event: &EventId, thread: ReceiptThread) {
        let reader = Reader::new(self.bob.clone(), None);
        let access = self.server.rooms.access(&reader, &self.room).await.expect("joined");
        let receipt = NewReceipt { kind: ReceiptKind::Private, event: event.to_owned(), thread };
        access.set_receipts(&[receipt]).await.expect("set");
    }
}
