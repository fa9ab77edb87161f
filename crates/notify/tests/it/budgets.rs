//! Round trips.

use blaupause_notify::RulePlace;
use blaupause_testkit::{Budget, budget};
use ruma::push::{NewPushRule, NewSimplePushRule};

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
