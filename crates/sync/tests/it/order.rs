//! Whatever the timing, a client puts together exactly the server's order, each event once.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use ruma::{OwnedDeviceId, owned_device_id};
use tokio::runtime;

use crate::{
    chance::Chance,
    clients::{Client, Kind},
    world::World,
};

/// Schedules of one test, unless `BLAUPAUSE_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 400;
/// Schedules of one server: the rooms grow.
const SCHEDULES_PER_SERVER: u64 = 10;

/// Two writers and other news, followed by three devices: a reader's, and two of a writer, one of
/// which is the one that sends.
async fn schedule(world: &World, kind: Kind, seed: u64) {
    let is_over = Cell::new(false);
    let [alice, bob, carol] = &*world.people;
    let devices: [(_, OwnedDeviceId); 3] = [
        (carol, owned_device_id!("DEVICE")),
        (alice, owned_device_id!("DEVICE")),
        (alice, owned_device_id!("OTHER")),
    ];
    let mut clients = devices.map(|(user, device)| Client::new(world, world.reader(user, &device)));
    let [first, second, third] = &mut clients;
    let news = async {
        tokio::join!(world.write(alice, seed), world.write(bob, seed), world.happen(seed));
        is_over.set(true);
    };
    let over = || is_over.get();
    let all = async {
        tokio::join!(
            news,
            first.follow(kind, over),
            second.follow(kind, over),
            third.follow(kind, over),
        );
    };
    tokio::select! {
        biased;
        () = all => {}
        () = world.disk() => unreachable!("a disk turns until the end"),
    }
}

/// `BLAUPAUSE_SCHEDULE` runs a schedule that failed, and those that went before it on its server.
fn run(kind: Kind) {
    let variable = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    let wanted: Option<u64> = variable("BLAUPAUSE_SCHEDULE");
    let count = variable("BLAUPAUSE_SCHEDULES").unwrap_or(SCHEDULES);
    for start in (0..count).step_by(SCHEDULES_PER_SERVER as usize) {
        let seeds = start..start + SCHEDULES_PER_SERVER;
        if wanted.is_some_and(|wanted| !seeds.contains(&wanted)) {
            continue;
        }
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        let at = Cell::new(start);
        let done = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                let chance = Chance::new(start);
                let world = World::new(chance.clone()).await;
                for seed in seeds {
                    at.set(seed);
                    chance.reseed(seed);
                    Box::pin(schedule(&world, kind, seed)).await;
                }
            });
        }));
        if let Err(panic) = done {
            eprintln!("the schedule {} of {kind:?} failed", at.get());
            resume_unwind(panic);
        }
    }
}

#[test]
fn sliding_sync_tells_each_event_once_and_in_the_order_of_the_server() {
    run(Kind::Sliding);
}

#[test]
fn sync_tells_each_event_once_and_in_the_order_of_the_server() {
    run(Kind::V3);
}
