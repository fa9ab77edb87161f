//! Two servers: from a send on the one to the /sync of somebody on the other.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::messages::{Board, read, send_all, wait_until_seen};
use crate::{
    Wanted,
    client::encoded,
    numbers::{mib, ms, rounded},
    peer::{Authority, VERSION},
    people,
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "between";
/// Messages that are sent one after the other, each when the one before was answered.
const ONE_BY_ONE: usize = 300;
/// Messages that are sent by several people at once, and the people.
const TOGETHER: usize = 2_000;
const SENDERS: usize = 16;

/// `target` is where messages are sent; the other server is always of our own.
pub async fn run(wanted: &Wanted, target: &Target, authority: &Authority) -> Result<Vec<Line>> {
    let own = Wanted { url: None, pid: Vec::new(), ..wanted.clone() };
    let other = Target::federating(&own, authority).await?;
    let people = people::register(&target.url, SENDERS).await?;
    let reader = people::register(&other.url, 1).await?.remove(0);
    let mut client = people[0].client(&target.url);
    let wish = json!({ "preset": "public_chat", "room_version": VERSION });
    let made = client.json(Method::POST, "/_matrix/client/v3/createRoom", Some(&wish)).await?;
    let room = made["room_id"].as_str().context("a room id")?.to_owned();
    for person in &people[1..] {
        people::join(&mut person.client(&target.url), &room).await?;
    }
    let (id, via) = (encoded(&room), encoded(&target.name));
    let path = format!("/_matrix/client/v3/join/{id}?via={via}&server_name={via}");
    reader.client(&other.url).must(Method::POST, &path, Some(&json!({}))).await?;

    let board = Board::of(1);
    let mut readers = JoinSet::new();
    readers.spawn_local(read(reader.client(&other.url), 0, room.clone(), board.clone()));
    let senders =
        |count: usize| people[..count].iter().map(|one| one.client(&target.url)).collect();
    send_all(senders(SENDERS), &room, &board, SENDERS).await?;
    wait_until_seen(&board, 1, &mut readers).await?;
    board.forget_times();
    let mut lines = Vec::new();
    for (count, messages) in [(1, ONE_BY_ONE), (SENDERS, TOGETHER)] {
        let (here, there) = (Span::start(target)?, Span::start(&other)?);
        send_all(senders(count), &room, &board, messages).await?;
        let sent = here.end(target)?;
        wait_until_seen(&board, 1, &mut readers).await?;
        let (here, there) = (here.end(target)?, there.end(&other)?);
        let [half, most] = board.delivery();
        board.forget_times();
        let what = format!("{messages} messages by {count}");
        let rate = rounded(messages as f64 / here.time.as_secs_f64());
        let sent = rounded(messages as f64 / sent.time.as_secs_f64());
        lines.extend([
            line(NAME, &format!("{what}: delivered"), rate, "/s")
                .note(format!("sent: {sent} /s; {}", here.limit())),
            line(NAME, "delivery, p50", ms(half), "ms")
                .note("from the beginning of the send until it is in a /sync of the other server"),
            line(NAME, "delivery, p95", ms(most), "ms"),
        ]);
        for (side, spent) in [("sender", here), ("receiver", there)] {
            if let Some(cpu) = spent.cpu_per(messages, 1_000.0) {
                let what = format!("CPU per 1,000 messages, {side}");
                lines.push(line(NAME, &what, cpu, "s"));
            }
        }
    }
    readers.shutdown().await;
    for (side, target) in [("sender", target), ("receiver", &other)] {
        if let Some(usage) = target.usage() {
            lines.push(line(NAME, &format!("memory, {side}"), mib(usage.rss), "MiB"));
        }
    }
    other.close()?;
    Ok(lines)
}
