use blaupause_data::{Data, Db, Env, Table};
use blaupause_store::{MemStore, Store};
use blaupause_testkit::TestServer;
use ruma::{OwnedUserId, event_id, owned_event_id, owned_room_id, server_name};
use serde_json::json;

use super::*;
use crate::Settings;

/// A room of two with a thread in it.
struct World {
    server: TestServer,
    notify: Notify,
    alice: Reader,
    bob: OwnedUserId,
    room: OwnedRoomId,
    root: OwnedEventId,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let (alice, bob) = (server.account("alice").await, server.account("bob").await);
        let room = server.public_room(&alice).await;
        server.join(&bob, &room).await.expect("it is public");
        // A third one: in a room of two everything notifies.
        server.join(&server.account("carol").await, &room).await.expect("it is public");
        let root = server.say(&bob, &room, "what do you think?").await.expect("sent");
        let settings = Settings { thread_subscriptions: true, ..Default::default() };
        let (data, accounts) = (server.data.clone(), server.accounts.clone());
        let notify = Notify::with(data, accounts, server.rooms.clone(), settings);
        Self { server, notify, alice: Reader::new(alice, None), bob, room, root }
    }

    async fn reply(&self, text: &str) -> OwnedEventId {
        self.reply_to(&self.root, text).await
    }

    async fn reply_to(&self, root: &EventId, text: &str) -> OwnedEventId {
        let relation = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation });
        let sent = self.server.send(&self.bob, &self.room, "m.room.message", content, None).await;
        sent.expect("sent")
    }

    async fn subscribe(&self, cause: Option<&EventId>) -> Result<(), NotifyError> {
        self.notify.subscribe(&self.alice, &self.room, &self.root, cause).await
    }

    async fn unsubscribe(&self) {
        let done = self.notify.unsubscribe(&self.alice, &self.room, &self.root).await;
        done.expect("the thread is there");
    }

    async fn subscribed(&self) -> Option<bool> {
        let found = self.notify.thread_subscription(&self.alice, &self.room, &self.root).await;
        found.expect("the thread is there")
    }

    async fn unread(&self) -> u64 {
        let counts = self.notify.counts(&self.alice.user, &self.room).await.expect("they count");
        counts.room(false).notify
    }

    async fn changes(&self, after: Option<StreamPos>) -> Vec<Option<bool>> {
        let span = SubscriptionSpan { upto: self.server.data.position(), after };
        let found = self.notify.subscription_changes(&self.alice.user, span, 10).await;
        found.expect("they can be read").changes.into_iter().map(|c| c.automatic).collect()
    }
}

/// What is stored must be readable for ever: a change of these bytes needs a new format number.
#[tokio::test]
async fn stored_subscriptions_keep_their_bytes() {
    let store = MemStore::new();
    let name = server_name!("example.org");
    let data = Data::open(Db::Mem(store.clone()), name, Env::manual(0)).await.expect("empty");
    let part = Part(u64::MAX);
    let value = StoredSubscription {
        room_id: owned_room_id!("!r:b"),
        root: owned_event_id!("$e"),
        state: Subscribed::Not,
    };
    let mut write = Write::new(part);
    let key = (Part(1), "$e".to_owned());
    write.put_version::<ThreadSubscriptionRow>(part, &key, 7, &value);
    write.put::<ThreadSubscriptionLogRow>(part, &StreamPos(258), &value);
    data.commit(write).await.expect("memory writes");
    let mut found = Vec::new();
    for table in [Table::Usr, Table::Seq] {
        let (rows, _) = store.export(table, None, 1_000).await.expect("memory reads");
        let ours = rows.into_iter().filter(|(key, _)| key.part() == Some(part));
        found.extend(ours.map(|(key, value)| (key.as_bytes()[8..].to_vec(), value.to_vec())));
    }
    let [(row, stored), (log_row, logged)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(row[..], *b"T\0\0\0\0\0\0\0\x01$e\0\x01");
    assert_eq!(stored[..8], *b"\0\0\0\0\0\0\0\x07");
    assert_eq!(stored[16..], *b"\x01\x04!r:b\x02$e\x02");
    assert_eq!(log_row[..], *b"u\0\0\0\0\0\0\x01\x02");
    assert_eq!(logged[..], *b"\x01\x04!r:b\x02$e\x02");
}

#[tokio::test]
async fn people_subscribe_and_unsubscribe() {
    let world = World::new().await;
    assert_eq!(world.subscribed().await, None);
    world.unsubscribe().await;
    world.subscribe(None).await.expect("subscribed");
    assert_eq!(world.subscribed().await, Some(false));
    world.unsubscribe().await;
    assert_eq!(world.subscribed().await, None);
}

#[tokio::test]
async fn what_a_person_decided_stays_when_a_client_subscribes_by_itself() {
    let world = World::new().await;
    let reply = world.reply("one").await;
    world.subscribe(Some(&reply)).await.expect("subscribed");
    assert_eq!(world.subscribed().await, Some(true));
    world.subscribe(None).await.expect("subscribed");
    world.subscribe(Some(&reply)).await.expect("it stays");
    assert_eq!(world.subscribed().await, Some(false));
}

#[tokio::test]
async fn what_was_written_before_does_not_subscribe_again() {
    let world = World::new().await;
    let first = world.reply("one").await;
    world.subscribe(Some(&first)).await.expect("subscribed");
    let second = world.reply("two").await;
    world.unsubscribe().await;
    for old in [&first, &second] {
        let refused = world.subscribe(Some(old)).await;
        assert!(matches!(refused, Err(NotifyError::UnsubscribedSince)), "{refused:?}");
    }
    assert_eq!(world.subscribed().await, None);
    let third = world.reply("three").await;
    world.subscribe(Some(&third)).await.expect("it is new");
    assert_eq!(world.subscribed().await, Some(true));
}

#[tokio::test]
async fn only_events_in_the_thread_subscribe() {
    let world = World::new().await;
    let other = world.server.say(&world.bob, &world.room, "another").await.expect("sent");
    let elsewhere = world.reply_to(&other, "there").await;
    for cause in [&*world.root, &*other, &*elsewhere, event_id!("$no")] {
        let refused = world.subscribe(Some(cause)).await;
        assert!(matches!(refused, Err(NotifyError::NotInThread)), "{cause}: {refused:?}");
    }
}

#[tokio::test]
async fn what_one_may_not_see_is_no_thread() {
    let world = World::new().await;
    let no = event_id!("$no");
    assert!(world.notify.subscribe(&world.alice, &world.room, no, None).await.is_err());
    let dave = Reader::new(world.server.account("dave").await, None);
    let private = world.server.private_room(&world.bob).await;
    let root = world.server.say(&world.bob, &private, "secret").await.expect("sent");
    assert!(world.notify.subscribe(&dave, &private, &root, None).await.is_err());
    assert!(world.notify.thread_subscription(&dave, &private, &root).await.is_err());
}

#[tokio::test]
async fn only_threads_one_subscribed_to_count() {
    let world = World::new().await;
    let before = world.unread().await;
    world.reply("one").await;
    assert_eq!(world.unread().await, before);
    world.subscribe(None).await.expect("subscribed");
    assert_eq!(world.unread().await, before + 1);
    world.reply("two").await;
    assert_eq!(world.unread().await, before + 2);
    world.unsubscribe().await;
    assert_eq!(world.unread().await, before);
    // Without the setting, every thread counts.
    let server = &world.server;
    let (data, accounts) = (server.data.clone(), server.accounts.clone());
    let plain = Notify::new(data, accounts, server.rooms.clone());
    let counts = plain.counts(&world.alice.user, &world.room).await.expect("they count");
    assert_eq!(counts.room(false).notify, before + 2);
}

#[tokio::test]
async fn a_change_is_told_once_and_as_it_is_now() {
    let world = World::new().await;
    world.subscribe(None).await.expect("subscribed");
    let since = world.server.data.position();
    assert_eq!(world.changes(None).await, [Some(false)]);
    assert_eq!(world.changes(Some(since)).await, []);
    world.unsubscribe().await;
    assert_eq!(world.changes(Some(since)).await, [None]);
    // Who starts has nothing that could have ended.
    assert_eq!(world.changes(None).await, []);
}

#[tokio::test]
async fn changes_come_in_pages() {
    let world = World::new().await;
    let mut roots = vec![world.root.clone()];
    for text in ["b", "c"] {
        roots.push(world.server.say(&world.bob, &world.room, text).await.expect("sent"));
    }
    for root in &roots {
        let done = world.notify.subscribe(&world.alice, &world.room, root, None).await;
        done.expect("subscribed");
    }
    let mut span = Some(SubscriptionSpan { upto: world.server.data.position(), after: None });
    let mut told = Vec::new();
    while let Some(next) = span {
        assert_eq!(SubscriptionSpan::parse(&next.to_string()), Some(next));
        let page = world.notify.subscription_changes(&world.alice.user, next, 1).await;
        let page = page.expect("they can be read");
        told.extend(page.changes.into_iter().map(|change| change.root));
        span = page.next;
    }
    roots.reverse();
    assert_eq!(told, roots);
}

#[test]
fn tokens_that_are_none_of_ours_are_refused() {
    for text in ["", "t", "s5", "t5_", "t_5", "t5_6_7", "tx", "5", &"t5".repeat(100)] {
        assert_eq!(SubscriptionSpan::parse(text), None, "{text}");
    }
}
