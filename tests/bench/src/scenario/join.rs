//! Rooms of another server are joined: one with very many members, one with a long history.

use std::{rc::Rc, time::Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::{
    Wanted,
    client::{Client, encoded, text_after},
    numbers::{mib, ms, rounded},
    peer::{Authority, Peer, Room},
    people,
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "join";
/// Servers whose people are in the rooms; each has a key of its own.
const SERVERS: usize = 20;
/// Events of one page of the history.
const PAGE: usize = 100;

pub async fn run(wanted: &Wanted, target: &Target, authority: &Authority) -> Result<Vec<Line>> {
    let peers = Peer::start(authority, SERVERS).await?;
    let servers: Vec<&Peer> = peers.iter().map(|peer| &**peer).collect();
    let host = &peers[0];
    let people = people::register(&target.url, 1).await?;
    let mut client = people[0].client(&target.url);

    // What happens only once, such as asking for keys, belongs to a first room.
    let first = Rc::new(Room::new(&servers, "first", SERVERS)?);
    host.serve_room(&first);
    join(&mut client, &first, host).await?;

    let mut lines = Vec::new();
    let large = Rc::new(Room::new(&servers, "large", wanted.join_members)?);
    host.serve_room(&large);
    let what = format!("a room of {} members", wanted.join_members);
    lines.extend(measured(&mut client, target, &large, host, &what, wanted.join_members).await?);

    let long = Rc::new(Room::new(&servers, "long", wanted.history_members)?);
    for number in 0..wanted.history_messages {
        long.message(host, &format!("bench-history-{number:08}"))?;
    }
    host.serve_room(&long);
    let what = format!(
        "one of {} members and {} messages",
        wanted.history_members, wanted.history_messages
    );
    lines.extend(measured(&mut client, target, &long, host, &what, wanted.history_members).await?);
    lines.extend(page_back(&mut client, target, &long, wanted.history_messages).await?);
    Ok(lines)
}

async fn join(client: &mut Client, room: &Room, host: &Peer) -> Result<()> {
    let (id, via) = (encoded(&room.id), encoded(&host.name));
    let path = format!("/_matrix/client/v3/join/{id}?via={via}&server_name={via}");
    client.must(Method::POST, &path, Some(&json!({}))).await?;
    Ok(())
}

async fn measured(
    client: &mut Client,
    target: &Target,
    room: &Room,
    host: &Peer,
    what: &str,
    members: usize,
) -> Result<Vec<Line>> {
    let before = target.usage();
    let span = Span::start(target)?;
    join(client, room, host).await?;
    let spent = span.end(target)?;
    let mut lines = vec![
        line(NAME, &format!("{what}: joined"), ms(spent.time), "ms")
            .note(format!("until the client has its answer; {}", spent.limit())),
    ];
    let started = Instant::now();
    let path = format!("/_matrix/client/v3/rooms/{}/joined_members", encoded(&room.id));
    let joined = client.json(Method::GET, &path, None).await?;
    let count = joined["joined"].as_object().map_or(0, serde_json::Map::len);
    ensure!(count == members + 2, "{count} members are known, not {}", members + 2);
    lines.push(line(NAME, "all members listed after that", ms(started.elapsed()), "ms"));
    if let Some(cpu) = spent.cpu_per(1, 1.0) {
        lines.push(line(NAME, "CPU of the join", cpu, "s"));
    }
    lines.push(line(NAME, "CPU of the peer and the client", rounded(spent.own.as_secs_f64()), "s"));
    if let Some((before, after)) = before.zip(target.usage()) {
        lines.push(line(NAME, "memory before", mib(before.rss), "MiB"));
        lines.push(line(NAME, "memory after", mib(after.rss), "MiB"));
        lines.push(line(NAME, "most memory so far", mib(after.peak), "MiB"));
    }
    Ok(lines)
}

/// Read the whole history, page by page, as a client that scrolls up.
async fn page_back(
    client: &mut Client,
    target: &Target,
    room: &Room,
    messages: usize,
) -> Result<Vec<Line>> {
    let span = Span::start(target)?;
    let path =
        format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit={PAGE}", encoded(&room.id));
    let (mut seen, mut pages, mut from) = (0, 0_usize, String::new());
    while seen < messages {
        let page = client.must(Method::GET, &format!("{path}{from}"), None).await?;
        let said: Value = serde_json::from_slice(&page)?;
        let said = said["chunk"].as_array().context("a page has events")?;
        let found = said.iter().filter(|event| event["type"] == "m.room.message").count();
        seen += found;
        pages += 1;
        let Ok(end) = text_after(&page, "end") else { break };
        from = format!("&from={}", encoded(&end));
    }
    let spent = span.end(target)?;
    let rate = rounded(seen as f64 / spent.time.as_secs_f64());
    let mut lines = vec![
        line(NAME, "its history, page by page", rate, "events/s")
            .note(format!("{seen} of {messages} seen in {pages} pages; {}", spent.limit())),
    ];
    if let Some(cpu) = spent.cpu_per(seen, 1_000.0) {
        lines.push(line(NAME, "CPU per 1,000 events of history", cpu, "s"));
    }
    if let Some(after) = target.usage() {
        lines.push(line(NAME, "most memory so far", mib(after.peak), "MiB"));
    }
    Ok(lines)
}
