//! A user in very many rooms: the first answers, and what an answer costs when hardly anything is
//! new, which must not depend on how many rooms there are.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;

use super::first_sync::{SLIDING, lazy, sliding};
use crate::{
    Wanted,
    client::{Client, text_after},
    numbers::{ms, quantile, rounded},
    people::{self, Person},
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "many-rooms";
/// Members of each room besides the user.
const OTHERS: usize = 4;
/// Messages in each room.
const MESSAGES: usize = 5;
/// How often each first answer is asked for; the median counts.
const REPEATS: usize = 3;
/// Incremental answers; before each of them one message is sent.
const STEPS: usize = 30;
/// Rooms that Element X asks for at first.
const WINDOW: usize = 20;

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    ensure!(wanted.many_rooms > 0, "--many-rooms is at least 1");
    let mut people = people::register(&target.url, OTHERS + 1).await?;
    let user = people.remove(0);
    let rooms = fill_rooms(wanted, target, &people, &user).await?;
    let mut asking = Asking { target, client: user.client(&target.url), lines: Vec::new() };
    let count = rooms.len();

    let path = format!("/_matrix/client/v3/sync?timeout=0&filter={}", lazy());
    let what = format!("/sync, {count} rooms, lazy members, limit 20");
    let since = asking.repeat(&what, Method::GET, &path, None).await?;
    let mut others = people[0].client(&target.url);
    asking.steps(Kind::Sync, &mut others, &rooms, &since).await?;

    let what = format!("/sync, {count} rooms, no filter");
    asking.repeat(&what, Method::GET, "/_matrix/client/v3/sync?timeout=0", None).await?;

    let what = format!("sliding sync, first {WINDOW} of {count} rooms, 1 message");
    let body = sliding(WINDOW - 1, 1);
    asking.repeat(&what, Method::POST, SLIDING, Some(&body)).await?;
    let what = format!("sliding sync, all {count} rooms, 1 message");
    let body = sliding(count - 1, 1);
    let pos = asking.repeat(&what, Method::POST, SLIDING, Some(&body)).await?;
    asking.steps(Kind::Sliding(count - 1), &mut others, &rooms, &pos).await?;
    Ok(asking.lines)
}

async fn fill_rooms(
    wanted: &Wanted,
    target: &Target,
    people: &[Person],
    user: &Person,
) -> Result<Vec<String>> {
    let makers = people.iter().map(|one| one.client(&target.url)).collect();
    let (people, url, user) = (people.to_vec(), target.url.clone(), user.clone());
    let numbers: VecDeque<usize> = (0..wanted.many_rooms).collect();
    people::in_parallel(makers, numbers, async move |maker, number| {
        let room = people::create_room(maker).await?;
        people::join(&mut user.client(&url), &room).await?;
        for one in &people {
            // Joining twice is allowed: the maker is one of them.
            people::join(&mut one.client(&url), &room).await?;
        }
        for message in 0..MESSAGES {
            let text = format!("message {message} in room {number}, about as long as people write");
            people::send(maker, &room, &format!("m{number}x{message}"), &text).await?;
        }
        Ok(room)
    })
    .await
}

/// How what is new is asked for.
#[derive(Clone, Copy)]
enum Kind {
    Sync,
    /// With the last room of the window.
    Sliding(usize),
}

struct Asking<'a> {
    target: &'a Target,
    client: Client,
    lines: Vec<Line>,
}

impl Asking<'_> {
    /// The same question some times; gives where the last answer ends.
    async fn repeat(
        &mut self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String> {
        let mut times: Vec<Duration> = Vec::new();
        let mut answer = bytes::Bytes::new();
        let span = Span::start(self.target)?;
        for _ in 0..REPEATS {
            let started = Instant::now();
            answer = self.client.must(method.clone(), path, body).await?;
            times.push(started.elapsed());
        }
        let cpu = span.end(self.target)?.server.map(|cpu| ms(cpu) / REPEATS as f64);
        let first = ms(times[0]);
        let cpu = rounded(cpu.unwrap_or_default());
        self.lines.push(
            line(NAME, what, ms(quantile(&mut times, 0.5)), "ms")
                .note(format!("first {first} ms, server CPU {cpu} ms each")),
        );
        let size = rounded(answer.len() as f64 / 1024.0);
        self.lines.push(line(NAME, "… its size", size, "KiB"));
        let key = if method == Method::GET { "next_batch" } else { "pos" };
        text_after(&answer, key).with_context(|| what.to_owned())
    }

    /// One message in one of the rooms, then what is new, over and over.
    async fn steps(
        &mut self,
        kind: Kind,
        sender: &mut Client,
        rooms: &[String],
        since: &str,
    ) -> Result<()> {
        let (what, tag) = match kind {
            Kind::Sync => ("/sync, one message is new", "s"),
            Kind::Sliding(_) => ("sliding sync, one message is new", "x"),
        };
        let (mut since, mut times, mut bytes) = (since.to_owned(), Vec::new(), 0);
        let mut cpu = Duration::ZERO;
        for step in 0..STEPS {
            let room = &rooms[step * 7 % rooms.len()];
            people::send(sender, room, &format!("{tag}{step}"), "something new").await?;
            let span = Span::start(self.target)?;
            let started = Instant::now();
            let answer = match kind {
                Kind::Sync => {
                    let filter = lazy();
                    let path =
                        format!("/_matrix/client/v3/sync?timeout=0&filter={filter}&since={since}");
                    self.client.must(Method::GET, &path, None).await?
                }
                Kind::Sliding(end) => {
                    let path = format!("{SLIDING}&pos={}", crate::client::encoded(&since));
                    self.client.must(Method::POST, &path, Some(&sliding(end, 1))).await?
                }
            };
            times.push(started.elapsed());
            cpu += span.end(self.target)?.server.unwrap_or_default();
            bytes += answer.len();
            let key = if matches!(kind, Kind::Sync) { "next_batch" } else { "pos" };
            since = text_after(&answer, key)?;
        }
        // The kernel counts CPU in hundredths of a second: only the sum says anything.
        let cpu = rounded(ms(cpu) / STEPS as f64);
        let p95 = ms(quantile(&mut times, 0.95));
        let size = rounded(bytes as f64 / 1024.0 / STEPS as f64);
        self.lines.push(
            line(NAME, what, ms(quantile(&mut times, 0.5)), "ms")
                .note(format!("p95 {p95} ms, server CPU {cpu} ms each, {size} KiB")),
        );
        Ok(())
    }
}
