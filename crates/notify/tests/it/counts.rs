//! Unread counts: what makes them grow, and what resets them.

use ruma::events::receipt::ReceiptThread;
use serde_json::json;

use crate::world::{World, count};

#[tokio::test]
async fn counts_grow_with_messages_and_end_with_a_receipt() {
    let world = World::new().await;
    world.say(&world.alice, "1").await;
    let second = world.say(&world.carol, "2").await;
    let third = world.say(&world.alice, "3").await;
    assert_eq!(world.unread().await, count(3, 0));
    world.read(&second, ReceiptThread::Unthreaded).await;
    assert_eq!(world.unread().await, count(1, 0));
    world.read(&third, ReceiptThread::Unthreaded).await;
    assert_eq!(world.unread().await, count(0, 0));
    // Nobody else has read it for them.
    let of_carol = world.notify.counts(&world.carol, &world.room).await.expect("counted");
    assert_eq!(of_carol.room(false), count(1, 0));
}

#[tokio::test]
async fn what_was_said_before_joining_is_not_unread() {
    let world = World::of_two().await;
    world.say(&world.alice, "before").await;
    world.server.join(&world.carol, &world.room).await.expect("public");
    world.say(&world.alice, "after").await;
    let counts = world.notify.counts(&world.carol, &world.room).await.expect("counted");
    assert_eq!(counts.room(false), count(1, 0));
}

#[tokio::test]
async fn who_writes_has_read() {
    let world = World::new().await;
    let root = world.say(&world.alice, "1").await;
    world.reply_in(&world.alice, &root).await;
    assert_eq!(world.unread_in(&root).await, (count(1, 0), count(1, 0)));
    world.say(&world.bob, "2").await;
    assert_eq!(world.unread_in(&root).await, (count(0, 0), count(1, 0)));
    world.reply_in(&world.bob, &root).await;
    assert_eq!(world.unread_in(&root).await, (count(0, 0), count(0, 0)));
    assert_eq!(world.unread().await, count(0, 0));
}

#[tokio::test]
async fn threads_are_counted_and_read_on_their_own() {
    let world = World::new().await;
    let (one, two) = (world.say(&world.alice, "1").await, world.say(&world.alice, "2").await);
    let in_one = world.reply_in(&world.carol, &one).await;
    let mentions = json!({
        "msgtype": "m.text",
        "body": "x",
        "m.mentions": { "user_ids": [world.bob] },
        "m.relates_to": { "rel_type": "m.thread", "event_id": two },
    });
    world.send(&world.carol, "m.room.message", mentions).await;
    assert_eq!(world.unread_in(&one).await, (count(2, 0), count(1, 0)));
    assert_eq!(world.unread_in(&two).await, (count(2, 0), count(1, 1)));
    assert_eq!(world.unread().await, count(4, 1));
    world.read(&in_one, ReceiptThread::Thread(one.clone())).await;
    assert_eq!(world.unread_in(&one).await, (count(2, 0), count(0, 0)));
    assert_eq!(world.unread_in(&two).await, (count(2, 0), count(1, 1)));
    world.read(&two, ReceiptThread::Main).await;
    assert_eq!(world.unread_in(&two).await, (count(0, 0), count(1, 1)));
    let last = world.say(&world.alice, "last").await;
    world.read(&last, ReceiptThread::Unthreaded).await;
    assert_eq!(world.unread().await, count(0, 0));
}

#[tokio::test]
async fn counts_from_memory_are_those_from_the_store() {
    let world = World::new().await;
    let root = world.say(&world.alice, "root").await;
    for n in 0..30 {
        match n % 4 {
            0 => drop(world.reply_in(&world.alice, &root).await),
            1 => drop(world.say(&world.bob, "x").await),
            2 => {
                let event = world.say(&world.carol, "x").await;
                world.read(&event, ReceiptThread::Main).await;
            }
            _ => drop(world.say(&world.carol, "x").await),
        }
        // Asked after every step, so counted on; and by a second handle that knows nothing.
        let kept = world.notify.counts(&world.bob, &world.room).await.expect("counted");
        let (data, accounts) = (world.server.data.clone(), world.server.accounts.clone());
        let fresh = blaupause_notify::Notify::new(data, accounts, world.server.rooms.clone());
        let fresh = fresh.counts(&world.bob, &world.room).await.expect("counted");
        assert_eq!(kept.room(false), fresh.room(false), "step {n}");
        assert_eq!(kept.room(true), fresh.room(true), "step {n}");
    }
}

#[tokio::test]
async fn what_was_taken_back_does_not_count() {
    let world = World::new().await;
    let event = world.say(&world.alice, "oops").await;
    world.server.redact(&world.alice, &world.room, &event).await.expect("redacted");
    assert_eq!(world.unread().await, count(0, 0));
}

#[tokio::test]
async fn people_who_are_ignored_do_not_count() {
    let world = World::new().await;
    world.say(&world.carol, "hi").await;
    assert_eq!(world.unread().await, count(1, 0));
    let ignored = json!({ "ignored_users": { world.carol.as_str(): {} } });
    let content = serde_json::value::to_raw_value(&ignored).expect("JSON");
    let set =
        world.server.accounts.set_account_data(&world.bob, None, "m.ignored_user_list", &content);
    set.await.expect("set");
    assert_eq!(world.unread().await, count(0, 0), "not even what was counted before");
    world.say(&world.carol, "hi").await;
    assert_eq!(world.unread().await, count(0, 0));
    world.say(&world.alice, "hi").await;
    assert_eq!(world.unread().await, count(1, 0));
}

#[tokio::test]
async fn a_count_ends_somewhere() {
    let world = World::new().await;
    for n in 0..520 {
        world.say(&world.alice, &n.to_string()).await;
    }
    let unread = world.unread().await;
    assert!((500..=520).contains(&unread.notify), "{unread:?}");
}
