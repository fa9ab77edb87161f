//! Round trips.

use blaupause_notify::{NotificationsWanted, RulePlace, SetPusher};
use blaupause_testkit::{Budget, budget};
use ruma::{
    UserId,
    push::{NewPushRule, NewSimplePushRule},
};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn counting_is_a_few_reads_and_none_where_nothing_happened() {
    let world = World::new().await;
    for n in 0..100 {
        world.say(&world.alice, &n.to_string()).await;
    }
    let store = &world.server.store;
    let counts = || world.notify.counts(&world.bob, &world.room);
    let most = |reads| Budget { reads, commits: 0 };
    budget(store, "counts, 100 unread", most(10), counts()).await.expect("counted");
    budget(store, "counts, again", most(0), counts()).await.expect("counted");
    world.say(&world.alice, "one more").await;
    budget(store, "counts, one more", most(6), counts()).await.expect("counted");
}

#[tokio::test]
async fn a_rule_is_one_read_and_one_commit() {
    let world = World::new().await;
    let store = &world.server.store;
    let rule = NewPushRule::Room(NewSimplePushRule::new(world.room.clone(), vec![]));
    let place = RulePlace::default();
    let put = world.notify.put_rule(&world.bob, rule, &place);
    budget(store, "pushrules, put", Budget { reads: 3, commits: 1 }, put).await.expect("put");
    let get = world.notify.ruleset(&world.bob);
    budget(store, "pushrules", Budget { reads: 1, commits: 0 }, get).await.expect("read");
}

async fn set_pusher(world: &World, user: &UserId) {
    let pusher = serde_json::from_value(json!({
        "app_id": "org.example", "pushkey": user, "kind": "http", "lang": "en",
        "app_display_name": "a", "device_display_name": "d",
        "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
    }));
    let pusher = pusher.expect("a pusher");
    let set = SetPusher { pusher: &pusher, append: false, enabled: None };
    world.notify.set_pusher(user, None, set).await.expect("set");
}

/// Everybody in the room is asked, and that must not be a question to the store each.
#[tokio::test]
async fn noting_a_message_for_a_room_of_fifty_is_a_handful_of_reads_and_one_commit() {
    let world = World::new().await;
    for number in 0..50 {
        let user = world.server.account(&format!("member{number}")).await;
        world.server.join(&user, &world.room).await.expect("public");
        set_pusher(&world, &user).await;
    }
    set_pusher(&world, &world.bob).await;
    // The first time begins; the second one learns everybody's rules.
    world.notify.follow().await.expect("follows");
    world.say(&world.alice, "warm").await;
    world.notify.follow().await.expect("follows");
    world.say(&world.alice, "x").await;
    let most = Budget { reads: 4, commits: 1 };
    let store = &world.server.store;
    let noted = budget(store, "a message noted for 51 people", most, world.notify.follow());
    noted.await.expect("follows");
    let wanted = NotificationsWanted { before: None, limit: 10, only_highlights: false };
    let list = world.notify.notifications(&world.bob, None, wanted);
    let list = budget(store, "notifications", Budget { reads: 8, commits: 0 }, list);
    let list = list.await.expect("reads");
    assert_eq!(list.notifications.len(), 2);
}

#[tokio::test]
async fn a_message_to_people_without_pushers_writes_nothing() {
    let world = World::new().await;
    world.notify.follow().await.expect("follows");
    let store = &world.server.store;
    for text in ["one", "two"] {
        world.say(&world.alice, text).await;
        let most = Budget { reads: 8, commits: 0 };
        budget(store, "a message noted for nobody", most, world.notify.follow())
            .await
            .expect("follows");
    }
}
