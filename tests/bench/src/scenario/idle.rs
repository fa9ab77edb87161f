//! Memory: an empty server, and many clients that wait in /sync with nothing to see.

use std::{rc::Rc, time::Duration};

use anyhow::{Context, Result};
use http::Method;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    Wanted,
    client::{Client, text_after},
    numbers::{mib, rounded},
    people::{self, Person},
    report::{Line, Span, Spent, line},
    target::Target,
};

const NAME: &str = "idle";
/// Each user shares a room with so many others.
const ROOM_SIZE: usize = 10;
/// Longer than the measurement.
const POLL_MS: u64 = 120_000;
/// After the last client has begun to wait: who is online is told around for a while.
const SETTLE: Duration = Duration::from_secs(10);
/// For so long nothing happens, and the CPU is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// Clients that begin at the same moment, when they do not all begin at once.
const AT_ONCE: usize = 16;

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    let rss = || target.usage().map_or(0, |usage| usage.rss);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let empty = rss();
    let people = people::register(&target.url, wanted.idle).await?;
    share_rooms(target, &people).await?;
    let before = rss();
    let (with_clients, spent) = wait_together(target, &people, AT_ONCE).await?;
    let (after_herd, _) = wait_together(target, &people, people.len()).await?;

    let count = wanted.idle;
    let over =
        |memory: u64| format!("{} MiB over the empty server", mib(memory.saturating_sub(empty)));
    let idle_cpu = spent.server.unwrap_or_default().as_secs_f64() * 100.0 / LOOK.as_secs_f64();
    Ok(vec![
        line(NAME, "memory of the empty server", mib(empty), "MiB").note("2 s after the start"),
        line(NAME, &format!("memory after {count} registrations, rooms"), mib(before), "MiB")
            .note(format!("rooms of {ROOM_SIZE}; part of it is the database's buffers")),
        line(NAME, &format!("memory with {count} clients waiting"), mib(with_clients), "MiB")
            .note(format!("{}; one connection each, HTTP/1.1", over(with_clients))),
        line(NAME, "… after all began anew at one moment", mib(after_herd), "MiB")
            .note(format!("{}; the peak of their first syncs", over(after_herd))),
        line(NAME, "CPU while they wait", rounded(idle_cpu), "% of 1"),
    ])
}

/// Let everybody catch up, so many at once, and wait; gives the memory, and what waiting costs.
async fn wait_together(target: &Target, people: &[Person], at_once: usize) -> Result<(u64, Spent)> {
    let mut polls = JoinSet::new();
    let gate = Rc::new(Semaphore::new(at_once));
    let waiting = Rc::new(Semaphore::new(0));
    for person in people {
        let client = person.client(&target.url);
        polls.spawn_local(poll(client, Rc::clone(&gate), Rc::clone(&waiting)));
    }
    let everybody = u32::try_from(people.len())?;
    tokio::select! {
        all = waiting.acquire_many(everybody) => drop(all?),
        Some(failed) = polls.join_next() => return Err(failed?.err().context("a poll ended")?),
    }
    tokio::time::sleep(SETTLE).await;
    let span = Span::start(target)?;
    tokio::time::sleep(LOOK).await;
    // A poll that ended has failed: nothing happens here.
    if let Some(ended) = polls.try_join_next() {
        ended??;
    }
    let (memory, spent) = (target.usage().map_or(0, |usage| usage.rss), span.end(target)?);
    polls.shutdown().await;
    Ok((memory, spent))
}

async fn share_rooms(target: &Target, people: &[Person]) -> Result<()> {
    for group in people.chunks(ROOM_SIZE) {
        let Some((first, others)) = group.split_first() else { continue };
        let room = people::create_room(&mut first.client(&target.url)).await?;
        for other in others {
            people::join(&mut other.client(&target.url), &room).await?;
        }
    }
    Ok(())
}

/// Catch up when it is one's turn, say so, then wait.
async fn poll(mut client: Client, gate: Rc<Semaphore>, waiting: Rc<Semaphore>) -> Result<()> {
    let turn = gate.acquire().await?;
    let answer = client.must(Method::GET, "/_matrix/client/v3/sync?timeout=0", None).await?;
    let mut since = text_after(&answer, "next_batch")?;
    drop((answer, turn));
    waiting.add_permits(1);
    loop {
        let path = format!("/_matrix/client/v3/sync?timeout={POLL_MS}&since={since}");
        let answer = client.must(Method::GET, &path, None).await?;
        since = text_after(&answer, "next_batch")?;
    }
}
