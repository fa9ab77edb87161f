//! Memory: an empty server, and many clients that wait in /sync with nothing to see.

use std::time::Duration;

use anyhow::Result;
use http::Method;
use tokio::task::JoinSet;

use crate::{
    Wanted,
    client::{Client, text_after},
    numbers::mib,
    people::{self, Person},
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "idle";
/// Each user shares a room with so many others.
const ROOM_SIZE: usize = 10;
/// Longer than the measurement.
const POLL_MS: u64 = 120_000;
/// After the last client has begun to wait.
const SETTLE: Duration = Duration::from_secs(10);

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    let rss = || target.usage().map_or(0, |usage| usage.rss);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let empty = rss();
    let people = people::register(&target.url, wanted.idle).await?;
    share_rooms(target, &people).await?;
    let before = rss();

    let mut polls = JoinSet::new();
    let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    for person in &people {
        polls.spawn_local(poll(person.client(&target.url), waits.clone()));
    }
    for _ in &people {
        waiting.recv().await;
    }
    let span = Span::start(target)?;
    tokio::time::sleep(SETTLE).await;
    // A poll that ended has failed: nothing happens here.
    if let Some(ended) = polls.try_join_next() {
        ended??;
    }
    let (with_clients, spent) = (rss(), span.end(target)?);
    polls.shutdown().await;

    let count = wanted.idle;
    let idle_cpu = spent.server.unwrap_or_default().as_secs_f64() * 100.0 / SETTLE.as_secs_f64();
    Ok(vec![
        line(NAME, "memory of the empty server", mib(empty), "MiB").note("2 s after the start"),
        line(NAME, &format!("memory after {count} registrations, rooms"), mib(before), "MiB")
            .note(format!("rooms of {ROOM_SIZE}; part of it is the database's buffers")),
        line(NAME, &format!("memory with {count} clients waiting"), mib(with_clients), "MiB")
            .note("each one connection, HTTP/1.1"),
        line(NAME, "… over the empty server", mib(with_clients.saturating_sub(empty)), "MiB"),
        line(NAME, "CPU while they wait", crate::numbers::rounded(idle_cpu), "% of 1"),
    ])
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

/// Catch up, say so, then wait.
async fn poll(mut client: Client, waits: tokio::sync::mpsc::UnboundedSender<()>) -> Result<()> {
    let answer = client.must(Method::GET, "/_matrix/client/v3/sync?timeout=0", None).await?;
    let mut since = text_after(&answer, "next_batch")?;
    // The receiver may be done already.
    let _ = waits.send(());
    loop {
        let path = format!("/_matrix/client/v3/sync?timeout={POLL_MS}&since={since}");
        since = text_after(&client.must(Method::GET, &path, None).await?, "next_batch")?;
    }
}
