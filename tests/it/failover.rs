//! Three PostgreSQL nodes under Patroni, and the primary dies under load: what was acknowledged is
//! there, once and in order, and the server goes on by itself.

mod load;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use blaupause_pgcluster::{Patroni, Role};

use crate::{
    http::{Ask, Client},
    place::{Place, section_of},
    restart::{World, proof},
    serve::configured_with,
    server::{OPEN, Server},
};

/// Each sends one message after the other, into one room after the other.
const SENDERS: usize = 12;
/// Acknowledged before the kill, and again after it: then the site works as before.
const MESSAGES_BEFORE: u64 = 500;
const MESSAGES_AFTER: u64 = 500;
/// From the kill until messages are acknowledged again, at most. Patroni waits `ttl` (10 s here)
/// for the old primary, then promotes.
const GAP_MAX: Duration = Duration::from_secs(60);

/// Shorter than the gap: some requests wait until the end of it, others are sent away and come
/// again.
const OUTAGE_WAIT: &str = "outage_wait = \"4s\"\n";

/// What is seen while the database is away.
#[derive(Default)]
struct Seen {
    /// When each message was acknowledged.
    acknowledged: Mutex<Vec<Instant>>,
    /// Answers 503, all with Retry-After.
    away: Mutex<u64>,
    /// Requests without an answer within the client's patience.
    unanswered: Mutex<u64>,
    is_over: AtomicBool,
}

#[test]
#[ignore = "needs etcd and Patroni: cargo xtask failover"]
fn a_failover_loses_nothing_that_was_acknowledged() {
    let started = now();
    let mut cluster = Patroni::start();
    cluster.make_database("site");
    say(started, "three nodes run, with a synchronous standby");
    let place = Place::without_store();
    let store = section_of(&cluster.dsn("site")) + OUTAGE_WAIT;
    let config = configured_with(&place, &store, OPEN);
    let server = Server::start(&config);
    let world = World::new(&server);
    say(started, "the server is ready");

    let seen = Seen::default();
    let (killed, was_not_ready) = std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (world, seen, client) = (&world, &seen, server.client());
            scope.spawn(move || load::send_messages(world, seen, client, sender));
        }
        let poll = scope.spawn(|| load::poll(&world, &seen, server.client()));
        wait_for_messages(&world, MESSAGES_BEFORE);
        let killed_at = now();
        let killed = cluster.kill_primary();
        say(started, "the primary and its agent are killed");
        let was_not_ready = load::becomes_ready(server.operators, false);
        let before = world.acknowledged.load(Ordering::SeqCst);
        wait_for_messages(&world, before + MESSAGES_AFTER);
        assert!(killed_at.elapsed() < GAP_MAX + GAP_MAX, "the site came back too late");
        say(started, "messages are acknowledged again");
        seen.is_over.store(true, Ordering::SeqCst);
        poll.join().expect("long polls stay");
        (killed, was_not_ready)
    });

    cluster.revive(killed);
    let mut client = server.client();
    proof::messages_are_there_in_order_and_once(&world, &mut client);
    assert!(was_not_ready, "readiness did not say that the database was away");
    // The old primary comes back as a standby at this moment: a connection that meets it first has
    // to look once more.
    assert!(load::becomes_ready(server.operators, true), "the server is ready again");
    cluster.wait_for("three nodes again", |roles| !roles.contains(&Role::Away));
    report(&world, &seen);
    say(started, "the killed node is a standby again");
}

fn wait_for_messages(world: &World, wanted: u64) {
    let started = now();
    while world.acknowledged.load(Ordering::SeqCst) < wanted {
        assert!(started.elapsed() < GAP_MAX, "messages are not acknowledged any more");
        load::pause();
    }
}

/// The figures that show that it is done.
fn report(world: &World, seen: &Seen) {
    let mut times = seen.acknowledged.lock().expect("unpoisoned").clone();
    times.sort();
    let gap = times.windows(2).map(|two| two[1].duration_since(two[0])).max().unwrap_or_default();
    assert!(gap < GAP_MAX, "a gap of {} s", gap.as_secs());
    println!(
        "failover: gap {:.1} s, acknowledged {}, lost 0; answers 503 with Retry-After: {}, \
         requests without an answer, asked again: {}",
        gap.as_secs_f64(),
        world.acknowledged.load(Ordering::SeqCst),
        seen.away.lock().expect("unpoisoned"),
        seen.unanswered.lock().expect("unpoisoned"),
    );
}

#[expect(clippy::disallowed_methods, reason = "a measured duration")]
fn now() -> Instant {
    Instant::now()
}

fn say(started: Instant, what: &str) {
    println!("{:>6.1} s  {what}", started.elapsed().as_secs_f64());
}

/// For the modules of this test.
fn get_status(client: &mut Client, path: &str) -> Option<u16> {
    client.ask(&Ask::new("GET", path)).ok().map(|answer| answer.status)
}
